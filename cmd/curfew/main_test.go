package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "write docs/curfew.1, docs/cli.md and the scripts' expected output again")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"curfew": curfewAt})
}

// curfewAt is main with a clock that CURFEW_TEST_NOW may have stopped.
func curfewAt() {
	t := newTerminal()
	if stopped := os.Getenv("CURFEW_TEST_NOW"); stopped != "" {
		now, err := time.Parse(time.RFC3339, stopped)
		if err != nil {
			panic(err)
		}
		t.now = func() time.Time { return now }
	}
	os.Exit(t.run(os.Args[1:]))
}

// Every script in testdata/script runs curfew as people do, in a process of its own.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", UpdateScripts: *update, RequireExplicitExec: true, RequireUniqueNames: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
	})
}

// exits STATUS COMMAND ARGUMENTS: like exec, for one very exit status.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if err != nil || neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS COMMAND [ARGUMENTS]")
	}
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got, err = exit.ExitCode(), nil
	}
	ts.Check(err)
	if got != want {
		ts.Fatalf("%s", fmt.Sprintf("exit status %d, want %d", got, want))
	}
}
