package main

import (
	"flag"
	"fmt"
	"io"
	"strings"
)

var man = command{
	name: "man",
	does: "print the manual page",
	examples: []example{
		{"a file for `man ./curfew.1`, or for /usr/local/share/man/man1", "curfew man > curfew.1"},
	},
	flags: func(*flag.FlagSet) func(*terminal, []string) error {
		return func(t *terminal, args []string) error {
			if len(args) > 0 {
				return t.misused("man: takes no argument; the page has all commands, and `curfew %s -h` tells of one", args[0])
			}
			manual(t.out)
			return nil
		}
	},
}

// manualDate is when the page was last looked through, as mdoc wants it.
const manualDate = "November 22, 2026"

// manual writes the page in mdoc(7).
func manual(w io.Writer) {
	fmt.Fprintf(w, `.Dd %s
.Dt CURFEW 1
.Os
.Sh NAME
.Nm curfew
.Nd keys, cookies, configs and counters of the session filter Curfew
.Sh SYNOPSIS
.Nm
.Ar COMMAND
.Op Ar ARGUMENTS
.Sh DESCRIPTION
Curfew is a filter for Envoy that keeps people's sessions in signed or sealed
cookies.
.Nm
is for those who run it.
.Pp
Flags may stand before and after arguments, with one dash or two.
No secret is ever taken from the command line: keys come from the environment
variables that the config names, tokens from files and standard input.
.Pp
A config is the filter's JSON alone, or a file in which Envoy, Istio or Envoy
Gateway has it.
`, manualDate)
	fmt.Fprintln(w, ".Sh COMMANDS")
	for i := range commands {
		commands[i].manual(w)
	}
	fmt.Fprint(w, `.Sh ENVIRONMENT
.Bl -tag -width Ds
.It Ev NO_COLOR
Where it is set, nothing is coloured.
Nor is it where
.Ev TERM
is dumb, or the output no terminal.
.It variables that the config names
hold the keys, as they do for the proxy.
.El
.Sh EXIT STATUS
0 if all is well, 1 on an error or if a check found something, 2 if the command
line was wrong.
`)
}

func (c *command) manual(w io.Writer) {
	fmt.Fprintf(w, ".Ss %s\n", c.name)
	literal(w, c.synopsis())
	fmt.Fprintf(w, ".Pp\n%s\n", roffProse(capital(c.does)+"."))
	for _, paragraph := range c.paragraphs() {
		fmt.Fprintf(w, ".Pp\n%s\n", roffProse(paragraph))
	}
	if options := c.options(); len(options) > 0 {
		fmt.Fprintln(w, ".Bl -tag -width Ds")
		for _, o := range options {
			fmt.Fprintf(w, ".It Fl %s", o.name)
			if o.value != "" {
				fmt.Fprintf(w, " Ar %s", roff(o.value))
			}
			fmt.Fprintf(w, "\n%s\n", roffProse(capital(o.usage)+"."))
		}
		fmt.Fprintln(w, ".El")
	}
	for _, e := range c.examples {
		fmt.Fprintf(w, ".Pp\n%s:\n", roff(capital(e.does)))
		literal(w, e.line)
	}
}

// literal shows a line for a shell as it is.
func literal(w io.Writer, line string) {
	fmt.Fprintf(w, ".Bd -literal -offset indent\n%s\n.Ed\n", roff(line))
}

var roffEscapes = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`)

// roff is text that stands for itself.
func roff(text string) string {
	if strings.HasPrefix(text, ".") {
		return `\&` + roffEscapes.Replace(text)
	}
	return roffEscapes.Replace(text)
}

// roffProse puts each sentence on a line of its own, as mdoc wants it, and none is over 80 bytes.
func roffProse(text string) string {
	var lines []string
	for sentence := range strings.SplitAfterSeq(text, ". ") {
		for line := range strings.SplitSeq(wrap(roffEscapes.Replace(sentence), 78), "\n") {
			if strings.HasPrefix(line, ".") {
				line = `\&` + line
			}
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

func capital(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
