package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/curfew-proxy/curfew/policy"
)

const placed = `{
  "keys": [{"id": "a",   "secret_env": "K"}],
  "login":
    {"url": "/login"},

  "rules": [
      {"path": "/a", "require": {"data.role": ["x",
         "it's \"q\""]}},
    {"path_prefix": "/b"}
  ]
}
`

// styles write a text as YAML scalars.
var styles = map[string]func(string) string{
	"literal":        func(s string) string { return "|\n" + indent(s, "      ") },
	"strip":          func(s string) string { return "|-  # why\n" + indent(s, "      ") },
	"with a number":  func(s string) string { return "|2+\n" + indent(s, "      ") },
	"folded":         func(s string) string { return ">\n" + indent(s, "     ") },
	"single quotes":  func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" },
	"double quotes":  func(s string) string { return fmt.Sprintf("%q", s) },
	"in one line":    func(s string) string { return fmt.Sprintf("%q", strings.Join(strings.Fields(s), " ")) },
	"as it is, flow": nil,
}

var placedFields = map[string]string{"keys": `"keys"`, "keys[0]": "{", "keys[0].secret_env": `"secret_env"`, "login": `"login"`, "login.url": `"url"`, "rules[0].require.data.role": `"data.role"`,
	"rules[0].require.data.role[1]": `"it`, "rules[1]": "{", "rules[1].path_prefix": `"path_prefix"`}

// Each field of a config is found where it stands, in whatever style of YAML.
func TestPlaces(t *testing.T) {
	for name, write := range styles {
		t.Run(name, func(t *testing.T) {
			source := "a: 1\nconfig:\n  configuration:\n    \"@type\": type.googleapis.com/google.protobuf.Struct\n    value: "
			if write == nil {
				source += strings.ReplaceAll(placed, "\n", "\n      ") + "\n"
			} else {
				source += write(placed) + "\n"
			}
			plugins, _, err := findPlugins("f", []byte(source))
			if err != nil || len(plugins) != 1 {
				t.Fatalf("%d plugins, %v, in\n%s", len(plugins), err, source)
			}
			for field, begins := range placedFields {
				p := plugins[0].placeOf(field)
				rest := strings.NewReplacer(`\"`, `"`, "''", "'").Replace(source[offsetOf(source, p):])
				rest = strings.TrimPrefix(rest, `\`)
				if !strings.HasPrefix(rest, begins) {
					t.Errorf("%s: line %d, column %d has %.20q", field, p.line, p.column, rest)
				}
			}
		})
	}
}

func TestPlaceOfWhatIsMissing(t *testing.T) {
	plugins, _, err := findPlugins("f", []byte(placed))
	if err != nil || len(plugins) != 1 {
		t.Fatal(plugins, err)
	}
	p := plugins[0]
	for field, want := range map[string]place{
		"rules[1].path": {9, 5}, "rules[1].hosts[2]": {9, 5}, "login.start_on": {3, 3}, "timeouts.idle": {1, 1}, "config": {1, 1}, "": {1, 1}, "rules[7]": {6, 3},
	} {
		if got := p.placeOf(field); got != want {
			t.Errorf("%q: %v, want %v", field, got, want)
		}
	}
}

// Where JSON ends to be JSON is told by line.
func TestPlaceOfFault(t *testing.T) {
	plugins, _, err := findPlugins("f", []byte("{\n  \"keys\": [],\n  \"login\": {},\n}\n"))
	if err != nil || len(plugins) != 1 || plugins[0].placeOf("config") != (place{4, 1}) {
		t.Errorf("%+v, %v", plugins, err)
	}
}

// quiet runs lint and wants neither errors nor warnings, but so many configs.
func quiet(t *testing.T, l *linter, configs int) {
	t.Helper()
	for _, p := range l.plugins {
		l.plugin(p, madeUp())
	}
	l.vms()
	for _, f := range l.findings {
		if f.severity != isNote {
			t.Error(f.inLine(&terminal{}))
		}
	}
	if len(l.plugins) < configs {
		t.Errorf("%d configs, want %d or more", len(l.plugins), configs)
	}
}

// All that we give people to copy is clean.
func TestOurOwnFilesAreClean(t *testing.T) {
	root := filepath.Join("..", "..")
	for pattern, configs := range map[string]int{
		"envoy.yaml": 1, "README.md": 1, "docs/*.md": 2,
		"deploy/envoy/*.yaml": 1, "deploy/istio/*.yaml": 3, "deploy/envoy-gateway/*.yaml": 1,
	} {
		t.Run(pattern, func(t *testing.T) {
			files, err := filepath.Glob(filepath.Join(root, pattern))
			if err != nil {
				t.Fatal(err)
			}
			l := &linter{}
			for _, name := range files {
				text, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				if !strings.HasSuffix(name, ".md") {
					l.file(name, text)
					continue
				}
				for i, block := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
					if strings.Contains(block[1], `"keys"`) && strings.Contains(block[1], `"login"`) {
						l.file(fmt.Sprintf("%s, block %d", name, i), []byte(block[1]))
					}
				}
			}
			quiet(t, l, configs)
		})
	}
}

// Every deployed file is among those above.
func TestEveryDeployedConfigIsLinted(t *testing.T) {
	known := regexp.MustCompile(`deploy/(envoy|istio|envoy-gateway)/[^/]+\.yaml$`)
	err := filepath.WalkDir(filepath.Join("..", "..", "deploy"), func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".yaml") || known.MatchString(filepath.ToSlash(name)) {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		plugins, _, err := findPlugins(name, text)
		for _, p := range plugins {
			if p.curfews() {
				t.Errorf("%s has a config that no test lints", name)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Lint says what the parser says, wherever the config stands.
func TestParserSpeaks(t *testing.T) {
	const bad = `{"keys": [{"id": "a", "secret_env": "K"}], "login": {"url": "/login"}, "timeouts": {"idle": "1d"}}`
	_, err := policy.Parse(bad, madeUp())
	l := &linter{}
	l.file("f", []byte(bad))
	for _, p := range l.plugins {
		l.plugin(p, madeUp())
	}
	for _, f := range l.findings {
		if f.severity == isError && f.field+": "+f.message == err.Error() {
			return
		}
	}
	t.Errorf("%v, want %v", l.findings, err)
}
