package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// checkedIn holds a generated file against the one in docs/, or writes that.
func checkedIn(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join("../../docs", name)
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	there, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(there) != text {
		t.Errorf("docs/%s is not what the commands say of themselves; run: go test ./cmd/curfew -update", name)
	}
	return file
}

// The manual page in docs/ is the one that curfew prints, and good mdoc.
func TestManual(t *testing.T) {
	var b bytes.Buffer
	manual(&b)
	file := checkedIn(t, "curfew.1", b.String())
	if out, err := exec.Command(tool(t, "CURFEW_MANDOC"), "-T", "lint", "-W", "style", file).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("mandoc: %v\n%s", err, out)
	}
	page := output(t, tool(t, "CURFEW_MANDOC"), "-T", "ascii", "-O", "width=200", mustAbs(t, file))
	page = strings.ReplaceAll(page, "_\b", "")
	for _, c := range commands {
		for _, e := range c.examples {
			if !strings.Contains(page, " "+e.line+"\n") {
				t.Errorf("the page has not %q as a shell takes it", e.line)
			}
		}
	}
}

func mustAbs(t *testing.T, file string) string {
	t.Helper()
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// docs/cli.md says the same for readers of the repository.
func TestPage(t *testing.T) {
	var b bytes.Buffer
	page(&b)
	checkedIn(t, "cli.md", b.String())
}

func page(w io.Writer) {
	fmt.Fprint(w, `# The command-line tool

`+"`curfew`"+` is for the person who runs Curfew: one static binary, which `+"`make cli`"+` builds as `+"`dist/curfew`"+`. No secret is taken from the
command line: keys come from the environment variables that the config names, tokens from files and standard input. A config is the
filter's JSON alone, or a file in which Envoy, Istio or Envoy Gateway has it. Colours are for terminals; `+"`NO_COLOR`"+` turns them off.
Exit status: 0 well, 1 an error or a finding, 2 a wrong command line.

This page is `+"[`curfew.1`](curfew.1)"+`, the manual page, in another form; `+"`curfew COMMAND -h`"+` shows a part of it.

| command | what it does |
|---|---|
`)
	for _, c := range commands {
		fmt.Fprintf(w, "| [`%s`](#%s) | %s |\n", c.name, c.name, c.does)
	}
	for i := range commands {
		c := &commands[i]
		fmt.Fprintf(w, "\n## %s\n\n    %s\n\n%s.\n", c.name, c.synopsis(), capital(c.does))
		for _, paragraph := range c.paragraphs() {
			fmt.Fprintf(w, "\n%s\n", wrap(paragraph, 140))
		}
		if options := c.options(); len(options) > 0 {
			fmt.Fprint(w, "\n| flag | means |\n|---|---|\n")
			for _, o := range options {
				fmt.Fprintf(w, "| `%s` | %s |\n", o.spelling(), strings.ReplaceAll(o.usage, "|", `\|`))
			}
		}
		if len(c.examples) > 0 {
			fmt.Fprint(w, "\n```sh\n")
			for _, e := range c.examples {
				fmt.Fprintf(w, "# %s\n%s\n", e.does, e.line)
			}
			fmt.Fprint(w, "```\n")
		}
	}
}
