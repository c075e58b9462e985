package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// envoy is a running one.
type envoy struct {
	cmd       *exec.Cmd
	dir       string
	admin     string
	listeners []*listener
	schedstat []string // of the worker threads
	log       bytes.Buffer
	done      chan struct{}
}

// startEnvoy runs one on these cores, as taskset names them.
func startEnvoy(ctx context.Context, binary string, listeners []*listener, workers int, cores string) (*envoy, error) {
	dir, err := os.MkdirTemp("", "curfew-bench")
	if err != nil {
		return nil, err
	}
	e := &envoy{dir: dir, listeners: listeners, done: make(chan struct{})}
	config, err := json.Marshal(bootstrap(listeners))
	if err == nil {
		err = os.WriteFile(e.path("envoy.json"), config, 0o600)
	}
	if err == nil {
		e.cmd = exec.Command("taskset", "-c", cores, binary, "-c", e.path("envoy.json"), "--concurrency", strconv.Itoa(workers),
			"--disable-hot-restart", "--log-level", "error", "--admin-address-path", e.path("admin"))
		e.cmd.Stdout, e.cmd.Stderr = &e.log, &e.log
		e.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
		err = e.cmd.Start()
	}
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	go func() { _ = e.cmd.Wait(); close(e.done) }()
	if err = e.ready(ctx, workers); err != nil {
		e.stop()
		return nil, err
	}
	return e, nil
}

func (e *envoy) path(name string) string { return filepath.Join(e.dir, name) }

func (e *envoy) stop() {
	_ = e.cmd.Process.Kill()
	<-e.done
	_ = os.RemoveAll(e.dir)
}

// ready waits until Envoy serves, then finds its ports and its worker threads.
func (e *envoy) ready(ctx context.Context, workers int) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-e.done:
			return fmt.Errorf("at start, Envoy ended: %s", e.log.String())
		case <-time.After(50 * time.Millisecond):
		}
		admin, _ := os.ReadFile(e.path("admin"))
		e.admin = string(admin)
		if state, err := e.get("/ready"); err == nil && strings.HasPrefix(state, "LIVE") {
			break
		}
	}
	if err := e.findPorts(); err != nil {
		return err
	}
	return e.findWorkers(workers)
}

func (e *envoy) findPorts() error {
	text, err := e.get("/listeners")
	if err != nil {
		return err
	}
	for _, l := range e.listeners {
		_, rest, _ := strings.Cut("\n"+text, "\n"+l.id+"::127.0.0.1:")
		port, _, _ := strings.Cut(rest, "\n")
		if l.port, err = strconv.Atoi(port); err != nil {
			return fmt.Errorf("no port of listener %q in Envoy's list: %s", l.name, text)
		}
	}
	return nil
}

// findWorkers looks for the threads by the name that Envoy gives them.
func (e *envoy) findWorkers(workers int) error {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", e.cmd.Process.Pid))
	if err != nil {
		return err
	}
	for _, task := range tasks {
		if name, _ := os.ReadFile(task + "/comm"); strings.HasPrefix(string(name), "wrk:worker_") {
			e.schedstat = append(e.schedstat, task+"/schedstat")
		}
	}
	if len(e.schedstat) != workers {
		return fmt.Errorf("%d threads of Envoy are called wrk:worker_N, not %d: is it version 1.40.0?", len(e.schedstat), workers)
	}
	return nil
}

func (e *envoy) get(path string) (string, error) {
	res, err := http.Get("http://" + e.admin + path)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return string(b), err
}

// cpu is how long the workers have run, in nanoseconds.
func (e *envoy) cpu() (sum int64, err error) {
	for _, file := range e.schedstat {
		var ns int64
		b, err := os.ReadFile(file)
		if err == nil {
			_, err = fmt.Sscan(string(b), &ns)
		}
		if err != nil {
			return 0, err
		}
		sum += ns
	}
	return sum, nil
}

// served is how many requests a listener has answered with 200.
func (e *envoy) served(l *listener) (n int64, err error) {
	text, err := e.get("/stats?filter=^http." + l.id + ".downstream_rq_2xx$")
	if err != nil {
		return 0, err
	}
	_, value, _ := strings.Cut(strings.TrimSpace(text), ": ")
	return strconv.ParseInt(value, 10, 64)
}
