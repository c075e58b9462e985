package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/curfew-proxy/curfew/policy"
)

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The README is short and its config starts the filter.
func TestReadme(t *testing.T) {
	text := read(t, "README.md")
	if n := strings.Count(text, "\n"); n > 150 {
		t.Errorf("README.md has %d lines, 150 are the most", n)
	}
	blocks := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(text, -1)
	if len(blocks) == 0 {
		t.Fatal("README.md shows no config")
	}
	for _, b := range blocks {
		if _, err := policy.Parse(b[1], func(string) string { return "aGVyZSBhcmUgbW9yZSB0aGFuIHRoaXJ0eS10d28gYnl0ZXM=" }); err != nil {
			t.Errorf("README's config does not start: %v", err)
		}
		fields := map[string]any{}
		if err := json.Unmarshal([]byte(b[1]), &fields); err != nil {
			t.Fatal(err)
		}
		for name := range fields {
			if !strings.Contains(text, "\n| `"+name+"` |") {
				t.Errorf("README.md does not say what %s does", name)
			}
		}
	}
	makefile := read(t, "Makefile")
	for _, m := range regexp.MustCompile(`make ([a-z]+)`).FindAllStringSubmatch(text, -1) {
		if !strings.Contains(makefile, "\n"+m[1]+":") {
			t.Errorf("README.md speaks of `make %s`, which is not there", m[1])
		}
	}
}

// Every link to a file of ours leads somewhere.
func TestLinks(t *testing.T) {
	pages := []string{"README.md", "SECURITY.md"}
	for _, pattern := range []string{"docs/*.md", "examples/*/README.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		pages = append(pages, found...)
	}
	for _, page := range pages {
		for _, m := range regexp.MustCompile(`\]\(([^):]+)\)`).FindAllStringSubmatch(read(t, page), -1) {
			path, _, _ := strings.Cut(m[1], "#")
			if i := strings.LastIndexByte(page, '/'); i >= 0 {
				path = page[:i+1] + path
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: %v", page, err)
			}
		}
	}
}

// The closed list of reasons is the documented one.
func TestReasonsAreDocumented(t *testing.T) {
	text := read(t, "docs/reasons.md")
	documented := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(text, -1)
	if len(documented) != policy.ReasonCount {
		t.Errorf("docs/reasons.md has %d reasons, the code has %d", len(documented), policy.ReasonCount)
	}
	for r := policy.Reason(0); r < policy.ReasonCount; r++ {
		if !strings.Contains(text, "\n| `"+r.String()+"` |") {
			t.Errorf("docs/reasons.md does not name %s", r)
		}
	}
}

// Each Go module that we require is argued for.
func TestDependenciesAreArguedFor(t *testing.T) {
	mod, text := read(t, "go.mod"), read(t, "docs/dependencies.md")
	for _, line := range strings.Split(mod, "\n") {
		if m := regexp.MustCompile(`^(?:require )?\t?([a-z0-9./_-]+\.[a-z0-9./_-]+/[^ ]+) v[^ ]+$`).FindStringSubmatch(line); m != nil && !strings.Contains(text, m[1]) {
			t.Errorf("docs/dependencies.md does not say why %s is there", m[1])
		}
	}
}
