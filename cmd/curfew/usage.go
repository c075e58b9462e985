package main

import (
	"flag"
	"fmt"
	"io"
	"strings"
)

func usage(w io.Writer) {
	fmt.Fprint(w, "usage: curfew COMMAND [ARGUMENTS]\n\n")
	for _, c := range commands {
		fmt.Fprintf(w, "  %-11s %s\n", c.name, c.does)
	}
	fmt.Fprint(w, "\n`curfew COMMAND -h` tells more of one. Secrets come from the environment variables that the config names, or from\n"+
		"files and standard input, never from the command line. Exit status: 0 well, 1 an error or a finding, 2 a wrong command line.\n")
}

func (c *command) help(w io.Writer) {
	fmt.Fprintf(w, "usage: %s\n\n%s.\n", c.synopsis(), capital(c.does))
	for _, paragraph := range c.paragraphs() {
		fmt.Fprintf(w, "\n%s\n", wrap(paragraph, 100))
	}
	if options := c.options(); len(options) > 0 {
		fmt.Fprint(w, "\nFlags:\n")
		for _, o := range options {
			fmt.Fprintf(w, "  %s\n%s\n", o.spelling(), indent(wrap(o.usage, 90), "      "))
		}
	}
	if len(c.examples) > 0 {
		fmt.Fprint(w, "\nExamples:\n")
		for _, e := range c.examples {
			fmt.Fprintf(w, "  # %s\n  %s\n", e.does, e.line)
		}
	}
}

func (c *command) synopsis() string { return strings.TrimSpace("curfew " + c.name + " " + c.args) }

func (c *command) paragraphs() []string {
	return strings.FieldsFunc(c.about, func(r rune) bool { return r == '\n' })
}

// option is a flag as people read of it.
type option struct {
	name, value, usage string // value is what stands for it; empty: it takes none
}

// options are the command's flags in the order of the alphabet.
func (c *command) options() (all []option) {
	set, _ := c.flagSet()
	set.VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" {
			usage += " (default " + f.DefValue + ")"
		}
		all = append(all, option{f.Name, value, usage})
	})
	return all
}

func (o *option) spelling() string { return strings.TrimSpace("-" + o.name + " " + o.value) }

// wrap breaks text into lines of at most width characters, where there are spaces.
func wrap(text string, width int) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		switch n := len([]rune(word)); {
		case column == 0:
			column = n
		case column+1+n > width:
			b.WriteByte('\n')
			column = n
		default:
			b.WriteByte(' ')
			column += 1 + n
		}
		b.WriteString(word)
	}
	return b.String()
}

func indent(text, by string) string { return by + strings.ReplaceAll(text, "\n", "\n"+by) }
