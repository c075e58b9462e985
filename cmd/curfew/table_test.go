package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What the help, the completions and the pages are made from is all there.
func TestTable(t *testing.T) {
	for _, c := range commands {
		if c.does == "" || strings.HasSuffix(c.does, ".") || capital(c.does) == c.does {
			t.Errorf("%s does %q: want words without capital and stop", c.name, c.does)
		}
		flags := map[string]bool{}
		for _, o := range c.options() {
			flags["-"+o.name] = true
			if o.usage == "" || o.value == "string" || o.value == "value" || o.value == "int" {
				t.Errorf("%s %s: %q does not say what is given to it", c.name, o.spelling(), o.usage)
			}
			if !strings.Contains(c.args, "-"+o.name) {
				t.Errorf("the usage of %s leaves -%s out", c.name, o.name)
			}
		}
		for _, name := range regexp.MustCompile(`-[a-z][a-z-]*`).FindAllString(c.args, -1) {
			if !flags[name] {
				t.Errorf("the usage of %s has %s, which is no flag", c.name, name)
			}
		}
	}
}

// Colours are for terminals, and for people who want them.
func TestColours(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cookie.txt")
	if err := os.WriteFile(file, []byte("1e.a.oKGio6SlpqeoqaqrrK2ur7CxsrO0tba3V6mLnzING4c-DBlRZr2r4w"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, screen := onTerminal(t, "inspect", file)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	screen.waitFor(t, "\x1b\\[33mNOT VERIFIED\x1b\\[0m")
	t.Setenv("NO_COLOR", "1")
	cmd, screen = onTerminal(t, "inspect", file)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if screen.waitFor(t, "to verify it"); strings.Contains(screen.String(), "\x1b") {
		t.Errorf("NO_COLOR, and %q", screen)
	}
	if out := output(t, curfewBinary(t), "inspect", file); strings.Contains(out, "\x1b") {
		t.Errorf("no terminal, and %q", out)
	}
}
