package main

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
	"go.yaml.in/yaml/v3"

	"github.com/curfew-proxy/curfew/policy"
)

var lint = command{
	name: "lint", args: "[-env] [-all] [-json] [FILE...]",
	does: "check configs before a proxy gets them",
	about: "Takes a filter JSON, an Envoy configuration (static, or a resource for xDS), an Istio WasmPlugin or TrafficExtension, an Envoy Gateway EnvoyExtensionPolicy, " +
		"as YAML of any number of documents or as JSON; without a FILE, standard input. It finds every Curfew config inside, asks the filter's own parser, and " +
		"looks for what YAML makes of it and for what around it would weaken it.\n" +
		"A plugin is taken for Curfew if its config has keys and login, or its name or image says curfew.\n" +
		"Of the guard it reads what stands in the files: filters in one chain of Envoy's, an AuthorizationPolicy, EnvoyFilter or TrafficExtension in the plugin's namespace or istio-system, " +
		"a SecurityPolicy or ClientTrafficPolicy; for a filter in a patch, or in an xDS resource of its own, it looks for none. It does not see whether selectors and targetRefs choose the same proxies, in which order Istio puts the filters, what routes override, " +
		"what the `to` of an AuthorizationPolicy or the CEL of a SecurityPolicy leaves open, or what Lua does with a name; and an RBAC filter's matcher, condition or action DENY is no guard to it.\n" +
		"Each finding is a line: file, line, column, how bad it is, the field, what is wrong and what to do. The exit status is 1 where there is an error; warnings and notes leave it 0.",
	examples: []example{
		{"what is wrong, by line, and what the proxy will need", "curfew lint envoy.yaml"},
		{"with the real secrets, and for a program to read", "curfew lint -env -json envoy.yaml"},
	},
	flags: func(set *flag.FlagSet) func(*terminal, []string) error {
		l := &linter{}
		set.BoolVar(&l.env, "env", false, "take secrets from the environment, as the proxy will; else made-up ones stand for them")
		set.BoolVar(&l.all, "all", false, "take every wasm plugin for Curfew")
		set.BoolVar(&l.json, "json", false, "print the findings as a JSON list")
		return l.run
	},
}

// severity is how bad a finding is.
type severity uint8

const (
	isNote severity = iota
	isWarning
	isError
)

func (s severity) String() string { return [...]string{"note", "warning", "error"}[s] }

func (s severity) colour() string { return [...]string{bold, yellow, red}[s] }

// finding is one thing that somebody should know, and what to do about it.
type finding struct {
	file string
	place
	severity severity
	field    string
	message  string
}

// MarshalJSON implements json.Marshaler.
func (f finding) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		File     string `json:"file"`
		Line     int    `json:"line"`
		Column   int    `json:"column"`
		Severity string `json:"severity"`
		Field    string `json:"field"`
		Message  string `json:"message"`
	}{f.file, f.line, f.column, f.severity.String(), f.field, f.message})
}

type linter struct {
	env, all, json bool
	findings       []finding
	plugins        []*plugin    // Curfew's
	documents      []*yaml.Node // of all files
}

func (l *linter) run(t *terminal, files []string) error {
	if len(files) == 0 {
		files = []string{"-"}
	}
	for _, name := range files {
		text, err := readInput(t, name)
		if err != nil {
			return err
		}
		l.file(name, text)
	}
	for _, p := range l.plugins {
		l.plugin(p, l.environment(t))
	}
	if len(l.plugins) == 0 && len(l.findings) == 0 {
		l.add(finding{files[0], place{1, 1}, isError, "", "there is no Curfew config in " + strings.Join(files, ", ") +
			"; one has keys and login, or a plugin called curfew around it; -all takes every wasm plugin"})
	}
	l.vms()
	return l.report(t, len(files))
}

func (l *linter) add(f finding) { l.findings = append(l.findings, f) }

func (l *linter) file(name string, text []byte) {
	shown := name
	if name == "-" {
		shown = "<stdin>"
	}
	plugins, documents, err := findPlugins(shown, text)
	if err != nil {
		l.add(notYAML(shown, err))
		return
	}
	if bytes.HasPrefix(text, byteOrderMark) {
		l.add(finding{shown, place{1, 1}, isWarning, "", "begins with a byte order mark, which the filter's own parser refuses; save the file as UTF-8 without one"})
	}
	l.documents = append(l.documents, documents...)
	for _, p := range plugins {
		if l.all || p.curfews() {
			l.plugins = append(l.plugins, p)
		}
	}
}

// environment is how the parser sees variables: made up unless the real ones are asked for.
func (l *linter) environment(t *terminal) func(string) string {
	if l.env {
		return t.getenv
	}
	return madeUp()
}

// madeUp gives every variable a secret that nobody has.
func madeUp() func(string) string {
	made := map[string]string{}
	return func(name string) string {
		if made[name] == "" {
			b := make([]byte, 32)
			rand.Read(b) // never fails
			made[name] = base64.StdEncoding.EncodeToString(b)
		}
		return made[name]
	}
}

// report prints the findings, the first of the file first, and what came of it.
func (l *linter) report(t *terminal, files int) error {
	slices.SortStableFunc(l.findings, func(a, b finding) int {
		return cmp.Or(strings.Compare(a.file, b.file), cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
	})
	count := [3]int{}
	for _, f := range l.findings {
		count[f.severity]++
	}
	if l.json {
		b, err := json.MarshalIndent(append([]finding{}, l.findings...), "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintf(t.out, "%s\n", b)
	} else {
		for _, f := range l.findings {
			fmt.Fprintln(t.out, f.inLine(t))
		}
		fmt.Fprintf(t.err, "%s, %s: %s, %s\n", plural(len(l.plugins), "config"), plural(files, "file"), plural(count[isError], "error"), plural(count[isWarning], "warning"))
	}
	if count[isError] > 0 {
		return errFound
	}
	return nil
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// inLine is a finding as compilers print theirs, which editors understand.
func (f *finding) inLine(t *terminal) string {
	s := fmt.Sprintf("%s:%d:%d: %s: ", f.file, f.line, f.column, t.paint(f.severity.colour(), f.severity.String()))
	if f.field != "" {
		s += f.field + ": "
	}
	return s + f.message
}

// secretsOf are the variables that a config names, by field.
func secretsOf(config string) map[string]string {
	found := map[string]string{}
	var walk func(v gjson.Result, path string)
	walk = func(v gjson.Result, path string) {
		i := 0
		v.ForEach(func(key, value gjson.Result) bool {
			name := below(path, key.Str)
			if v.IsArray() {
				name = fmt.Sprintf("%s[%d]", path, i)
			}
			if key.Str == "secret_env" && value.Type == gjson.String {
				found[name] = value.Str
			}
			if value.IsObject() || value.IsArray() {
				walk(value, name)
			}
			i++
			return true
		})
	}
	if gjson.Valid(config) {
		walk(gjson.Parse(config), "")
	}
	return found
}

// jsonFault is where a text ceases to be JSON, and why; -1 where it is JSON.
func jsonFault(config string) (offset int, why string) {
	var v any
	err := json.Unmarshal([]byte(config), &v)
	var syntax *json.SyntaxError
	switch {
	case err == nil:
		return -1, ""
	case errors.As(err, &syntax):
		return max(int(syntax.Offset)-1, 0), syntax.Error()
	}
	return 0, err.Error()
}

// validEnv reports whether a secret_env is the name of a variable, and not, by mistake, the secret.
func validEnv(name string) bool {
	_, err := policy.Parse(`{"keys":[{"id":"a","secret_env":`+quote(name)+`}],"login":{"url":"/login"}}`, madeUp())
	return err == nil && len(name) < 32
}
