package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tool is a program that `make test` names.
func tool(t *testing.T, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Fatalf("%s is not set; run: make test", variable)
	}
	return path
}

// completionFile is what `curfew completion` prints for a shell.
func completionFile(t *testing.T, shell string) string {
	t.Helper()
	text, err := exec.Command(curfewBinary(t), "completion", shell).Output()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "curfew."+shell)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// output is what a program says; anything on its standard error is an error.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	var errors strings.Builder
	cmd := exec.Command(name, args...)
	cmd.Stderr = &errors
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "HOME="+cmd.Dir, "LC_ALL=C.UTF-8")
	out, err := cmd.Output()
	if err != nil || errors.Len() > 0 {
		t.Fatalf("%s %q: %v\n%s", name, args, err, &errors)
	}
	return string(out)
}

// completionCases are what a person has typed, and what of it the shell offers.
var completionCases = []struct {
	words       []string
	want, never []string
}{
	{[]string{""}, []string{"keygen", "mint", "inspect", "lint", "explain", "status", "completion", "man", "help"}, []string{"-id"}},
	{[]string{"in"}, []string{"inspect"}, []string{"lint"}},
	{[]string{"mint", "-"}, []string{"-config", "-subject", "-remember"}, []string{"-out", "mint"}},
	{[]string{"mint", "-re"}, []string{"-remember"}, []string{"-config"}},
	{[]string{"mint", "-remember", "-s"}, []string{"-subject", "-seen"}, []string{"-config"}},
	{[]string{"completion", ""}, []string{"bash", "zsh", "fish"}, []string{"mint", "-id"}},
	{[]string{"completion", "z"}, []string{"zsh"}, []string{"bash"}},
	{[]string{"help", "k"}, []string{"keygen"}, []string{"mint"}},
	{[]string{"mint", "-subject", ""}, nil, []string{"mint", "-config", "bash"}},
	{[]string{"mint", "-config", ""}, nil, []string{"mint", "-config", "bash"}},
	{[]string{"inspect", ""}, nil, []string{"mint", "-config", "bash"}},
}

func checkOffers(t *testing.T, words, want, never, offered []string) {
	t.Helper()
	for _, w := range want {
		if !slices.Contains(offered, w) {
			t.Errorf("%q: %q is not offered, but %q", words, w, offered)
		}
	}
	for _, w := range never {
		if slices.Contains(offered, w) {
			t.Errorf("%q: %q is offered", words, w)
		}
	}
}

// A bash that has read it offers what the table has.
func TestCompletionBash(t *testing.T) {
	file := completionFile(t, "bash")
	if shown := output(t, "bash", "--norc", "-c", `source "$1"; complete -p curfew`, "bash", file); !strings.Contains(shown, "-F _curfew curfew") {
		t.Errorf("complete -p: %s", shown)
	}
	// compopt works within a completion only.
	const script = `source "$1"; shift; compopt() { echo "compopt $*"; }; COMP_WORDS=(curfew "$@"); COMP_CWORD=$#; _curfew; printf '%s\n' "${COMPREPLY[@]}"`
	for _, tc := range completionCases {
		offered := strings.Fields(output(t, "bash", append([]string{"--norc", "-c", script, "bash", file}, tc.words...)...))
		checkOffers(t, tc.words, tc.want, tc.never, offered)
	}
	// After a flag that takes no file, none is offered.
	for flag, want := range map[string]string{"-subject": "compopt +o default\n\n", "-config": "\n"} {
		if got := output(t, "bash", "--norc", "-c", script, "bash", file, "mint", flag, ""); got != want {
			t.Errorf("mint %s: %q, want %q", flag, got, want)
		}
	}
}

// fish itself says what it would offer.
func TestCompletionFish(t *testing.T) {
	fish, file := tool(t, "CURFEW_FISH"), completionFile(t, "fish")
	for _, tc := range completionCases {
		text := output(t, fish, "--no-config", "-c", "source $argv[1]; complete -C \"$argv[2]\"", file, "curfew "+strings.Join(tc.words, " "))
		var offered []string
		for line := range strings.Lines(text) {
			word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			offered = append(offered, word)
		}
		checkOffers(t, tc.words, tc.want, tc.never, offered)
	}
}

// zsh reads it; its two functions that ask the person, which need an editor, are stood in for.
func TestCompletionZsh(t *testing.T) {
	zsh, file := tool(t, "CURFEW_ZSH"), completionFile(t, "zsh")
	output(t, zsh, "-f", "-n", file)
	const script = `compdef() { print -r -- "compdef $*" }; _describe() { print -rl -- ${(P)2%%:*} }; _arguments() { print -rl -- "$@" }
file=$1; shift; source $file; words=(curfew "$@"); CURRENT=$#words; _curfew`
	run := func(words ...string) []string {
		return strings.Split(output(t, zsh, append([]string{"-f", "-c", script, "zsh", file}, words...)...), "\n")
	}
	if offered := run(""); offered[0] != "compdef _curfew curfew" || !slices.Contains(offered, "inspect") || !slices.Contains(offered, "help") {
		t.Errorf("commands: %q", offered)
	}
	if offered := run("help", ""); !slices.Contains(offered, "inspect") {
		t.Errorf("help: %q", offered)
	}
	if offered := run("completion", ""); !slices.Contains(offered, "*:argument:(bash zsh fish)") {
		t.Errorf("completion: %q", offered)
	}
	for _, c := range commands {
		offered := run(c.name, "")
		for _, o := range c.options() {
			spec := slices.IndexFunc(offered, func(s string) bool { return strings.HasPrefix(s, "-"+o.name+"[") })
			if spec < 0 || (o.value == "FILE") != strings.HasSuffix(offered[max(spec, 0)], ":FILE:_files") {
				t.Errorf("%s -%s: %q", c.name, o.name, offered)
			}
		}
	}
}
