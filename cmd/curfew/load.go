package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/curfew-proxy/curfew/policy"
)

// maxInput bounds what is read of a file, in bytes.
const maxInput = 16 << 20

// readInput reads a whole file, or standard input where its name is "-".
func readInput(t *terminal, name string) ([]byte, error) {
	in := t.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("%w; give the path of a file that this user may read, or - for standard input", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxInput:
		return nil, fmt.Errorf("%s: is over 16 MiB; give the file that holds the filter's config or a token", name)
	}
	return text, nil
}

// readConfig reads the filter JSON in a file, and its keys from the environment variables that it names.
func readConfig(t *terminal, name string) (*policy.Config, error) {
	text, err := readInput(t, name)
	if err != nil {
		return nil, err
	}
	config, err := findConfig(name, text)
	if err != nil {
		return nil, err
	}
	c, err := policy.Parse(config, t.keysEnv(config))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, t.inShell(err))
	}
	return c, nil
}

// inShell words the parser's error about a variable, which is for whoever runs the proxy, for who runs the tool.
func (t *terminal) inShell(err error) error {
	var e *policy.ConfigError
	if !errors.As(err, &e) || !strings.HasSuffix(e.Field, "secret_env") || !envName.MatchString(e.Value) || t.getenv(e.Value) != "" {
		return err
	}
	return &policy.ConfigError{Field: e.Field, Value: e.Value, Rule: "this environment variable is not set here; run curfew where the secrets are, " +
		"or read them into the shell from the file that the proxy has them from: set -a; . ./curfew.env; set +a"}
}

// findConfig returns the one filter JSON in a file's text, be it alone or in what a proxy reads.
func findConfig(name string, text []byte) (string, error) {
	plugins, _, err := findPlugins(name, text)
	if err != nil {
		return "", fmt.Errorf("%s: is neither YAML nor JSON: %w", name, err)
	}
	plugins = slices.DeleteFunc(plugins, func(p *plugin) bool { return !p.curfews() })
	switch len(plugins) {
	case 0:
		return "", fmt.Errorf("%s: has no config of Curfew in it; give the filter JSON, or the file of Envoy or Istio that holds it", name)
	case 1:
		return plugins[0].config, nil
	}
	return "", fmt.Errorf("%s: has %d configs of Curfew, at lines %d and %d to begin with; put the one that you mean into a file of its own",
		name, len(plugins), plugins[0].at.line, plugins[1].at.line)
}

// keysEnv looks up the variables of the config's keys. Whatever other secret a proxy would want is made up: no
// session needs it.
func (t *terminal) keysEnv(config string) func(string) string {
	keys := map[string]bool{}
	for _, name := range gjson.Get(config, "keys.#.secret_env").Array() {
		keys[name.Str] = true
	}
	return func(name string) string {
		if value := t.getenv(name); value != "" || keys[name] {
			return value
		}
		return rand.Text() + rand.Text()
	}
}
