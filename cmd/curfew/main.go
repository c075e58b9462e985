// Command curfew is for the person who runs Curfew: it makes keys, reads and makes tokens, checks configs, explains
// decisions and shows what a proxy is doing.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// command is one of curfew's; usage, completion, the manual page and docs/cli.md are made from these.
type command struct {
	name     string
	args     string    // as usage shows them
	does     string    // in one line, without a stop at its end
	about    string    // what else there is to know, a paragraph a line
	examples []example // run by the tests, in a folder of their own
	words    []string  // what its argument can be, for completion; none: a file
	// flags adds the command's own to the set and returns what to do with the arguments that are left.
	flags func(*flag.FlagSet) func(*terminal, []string) error
}

// example is a line for a shell and what it is for.
type example struct{ does, line string }

// terminal is all that a command gets from outside.
type terminal struct {
	in       io.Reader
	out, err io.Writer
	now      func() time.Time
	getenv   func(string) string
	colour   bool // out takes ANSI colours
}

// errUsage means that the command line itself was wrong; what is wrong has been said.
var errUsage = errors.New("usage")

// errFound means that a check found something; it has been said.
var errFound = errors.New("found something")

func main() { os.Exit(newTerminal().run(os.Args[1:])) }

func newTerminal() *terminal {
	return &terminal{in: os.Stdin, out: os.Stdout, err: os.Stderr, now: time.Now, getenv: os.Getenv, colour: takesColour(os.Stdout)}
}

// takesColour reports whether f is a terminal whose person has not asked for no colours (no-color.org).
func takesColour(f *os.File) bool {
	return term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// ANSI colours, for paint.
const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// paint puts text in a colour, where there are any.
func (t *terminal) paint(colour, text string) string {
	if !t.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// misused says what is wrong with the command line.
func (t *terminal) misused(format string, args ...any) error {
	fmt.Fprintf(t.err, "curfew: "+format+"\n", args...)
	return errUsage
}

// run returns the exit status: 0 well, 1 an error or a finding, 2 a wrong command line.
func (t *terminal) run(args []string) int {
	out := &sink{w: t.out}
	t.out = out
	err := t.dispatch(args)
	if err == nil {
		err = out.err // a key on a full disk is no key
	}
	return t.status(err)
}

func (t *terminal) dispatch(args []string) error {
	if len(args) == 0 {
		usage(t.err)
		return errUsage
	}
	name, rest := args[0], args[1:]
	switch {
	case name == "help" && len(rest) > 0:
		name, rest = rest[0], []string{"-h"}
	case name == "help" || name == "-h" || name == "-help" || name == "--help":
		usage(t.out)
		return nil
	}
	for i := range commands {
		if c := &commands[i]; c.name == name {
			return c.run(t, rest)
		}
	}
	return t.misused("there is no command %q; `curfew help` lists them", name)
}

func (c *command) run(t *terminal, args []string) error {
	set, do := c.flagSet()
	rest, err := parseAll(set, args)
	if errors.Is(err, flag.ErrHelp) {
		c.help(t.out)
		return nil
	}
	// In either case: a flag that does not exist may have been meant for a secret.
	suspects := rest
	if err != nil {
		suspects = args
	}
	for _, arg := range suspects {
		if looksSecret(arg) {
			return t.misused("%s: an argument looks like a secret or a token. Other users of this machine can read command lines, and shells keep them: "+
				"give tokens on standard input or in a file, keys in the environment variables that the config names, and replace this one if it was in use", c.name)
		}
	}
	if err != nil {
		return t.misused("%s: %v; `curfew %s -h` lists its flags", c.name, err, c.name)
	}
	return do(t, rest)
}

func (c *command) flagSet() (*flag.FlagSet, func(*terminal, []string) error) {
	set := flag.NewFlagSet(c.name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.Usage = func() {}
	return set, c.flags(set)
}

// parseAll takes flags from among the arguments, too, as people write them, up to a --.
func parseAll(set *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := set.Parse(args); err != nil {
			return nil, err
		}
		taken := len(args) - set.NArg()
		if set.NArg() == 0 || taken > 0 && args[taken-1] == "--" {
			return append(rest, set.Args()...), nil
		}
		rest, args = append(rest, set.Arg(0)), set.Args()[1:]
	}
}

func (t *terminal) status(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		return 2
	case !errors.Is(err, errFound):
		fmt.Fprintln(t.err, "curfew:", err)
	}
	return 1
}

// sink remembers the first error of a writer.
type sink struct {
	w   io.Writer
	err error
}

func (s *sink) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	if s.err == nil {
		s.err = err
	}
	return n, err
}

// commands is filled here and not in its declaration, for some of them read it.
var commands []command

func init() {
	commands = []command{keygen, mint, inspect, lint, explain, status, completion, man}
}
