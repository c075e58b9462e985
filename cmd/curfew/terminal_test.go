package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fakeScreen is the other end of a pseudo-terminal.
type fakeScreen struct {
	keyboard *os.File
	mu       sync.Mutex
	b        bytes.Buffer
}

func (s *fakeScreen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *fakeScreen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func (s *fakeScreen) write(t *testing.T, keys string) {
	t.Helper()
	if _, err := s.keyboard.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

func (s *fakeScreen) waitFor(t *testing.T, pattern string) {
	t.Helper()
	wanted := regexp.MustCompile(pattern)
	for end := time.Now().Add(30 * time.Second); !wanted.MatchString(s.String()); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come: %q", pattern, s)
		}
	}
}

// onTerminal runs curfew as somebody does who sits at a terminal of 80 columns and 50 rows.
func onTerminal(t *testing.T, args ...string) (*exec.Cmd, *fakeScreen) {
	t.Helper()
	keyboard, tty := openTerminal(t)
	s := &fakeScreen{keyboard: keyboard}
	cmd := exec.Command(curfewBinary(t), args...)
	cmd.Env = append(os.Environ(), "TERM=xterm")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: unix.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tty.Close()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := keyboard.Read(b)
			_, _ = s.Write(b[:n])
			if err != nil { // EIO: the other end is closed
				return
			}
		}
	}()
	return cmd, s
}

func openTerminal(t *testing.T) (keyboard, tty *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keyboard.Close() })
	fd := int(keyboard.Fd())
	if err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 50, Col: 80}); err != nil {
		t.Fatal(err)
	}
	if tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	return keyboard, tty
}

// curfewBinary is what testscript put on PATH: this very test, as curfew.
func curfewBinary(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("curfew")
	if err != nil {
		t.Fatal(err)
	}
	return path
}
