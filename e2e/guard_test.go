package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recipe is the repository's envoy.yaml as a user loads it; only ports and the module's path are of
// this test.
func recipe(t *testing.T, app string) string {
	t.Helper()
	b, err := os.ReadFile("../envoy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(app, ":")
	yaml := string(b)
	for old, now := range map[string]string{
		"port_value: 10000": "port_value: 0", "port_value: 8080": "port_value: " + port,
		"filename: dist/curfew.wasm": "filename: " + tool(t, "CURFEW_WASM"),
	} {
		if strings.Count(yaml, old) != 1 {
			t.Fatalf("envoy.yaml has %q %d times", old, strings.Count(yaml, old))
		}
		yaml = strings.Replace(yaml, old, now, 1)
	}
	return yaml
}

// without takes the list item that begins with that line out of a YAML text.
func without(t *testing.T, yaml, line string) string {
	t.Helper()
	var kept []string
	depth := -1
	for _, l := range strings.Split(yaml, "\n") {
		indent := len(l) - len(strings.TrimLeft(l, " "))
		switch {
		case strings.TrimSpace(l) == line:
			depth = indent
		case depth >= 0 && indent > depth:
		default:
			depth = -1
			kept = append(kept, l)
		}
	}
	out := strings.Join(kept, "\n")
	if out == yaml {
		t.Fatalf("envoy.yaml has no %q", line)
	}
	return out
}

// startYAML runs Envoy on a config of one listener, "http".
func startYAML(t *testing.T, yaml string) *envoy {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "envoy.yaml")
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	e := setup{env: map[string]string{"CURFEW_KEY": newKey()}}.run(t, path, "--config-yaml", `admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}`)
	e.serves(func() bool {
		_ = e.findListeners() // this one has no https
		return e.http != ""
	})
	return e
}

// The shipped config: it works, and nobody but Curfew says who a request is from.
func TestGuard(t *testing.T) {
	e := startYAML(t, recipe(t, newApp(t)))
	c := newClient(t, e, "plain")
	lie := []string{"X-Session-Subject: admin", "X-Session-Reason: ok", `X-Session: {"subject":"admin"}`, "Accept: text/html"}
	if r := c.do("GET", "/public", "", lie...); r.app == nil || r.app.Header.Get("x-session-subject") != "" || r.app.Header.Get("x-session-reason") != "absent" {
		t.Errorf("forged on an optional path: %d %s", r.StatusCode, r.body)
	}
	if r := c.do("GET", "/static/x", "", lie...); r.app == nil || r.app.Header.Get("x-session-subject") != "" || r.app.Header.Get("x-session-reason") != "off" {
		t.Errorf("forged where sessions are off: %d %s", r.StatusCode, r.body)
	}
	if r := c.do("GET", "/", "", lie...); r.StatusCode != 302 {
		t.Errorf("forged on a required path: %d %s", r.StatusCode, r.body)
	}
	c.login(`{"start":{"subject":"42"}}`)
	if r := c.do("GET", "/", "", lie...); r.app == nil || strings.Join(r.app.Header["X-Session-Subject"], ",") != "42" {
		t.Errorf("logged in: %d %s", r.StatusCode, r.body)
	}
}

// An anonymous session passes the guard where the app sees all of it.
func TestGuardAnonymous(t *testing.T) {
	yaml := recipe(t, newApp(t))
	e := startYAML(t, strings.Replace(yaml, `"headers":`, `"anonymous": true, "headers":`, 1))
	c := newClient(t, e, "plain")
	if r := c.command("/public", `{"set": {"theme": "dark"}}`); r.StatusCode != 200 {
		t.Fatalf("set: %d %s", r.StatusCode, r.body)
	}
	r := c.do("GET", "/public", "")
	if r.app == nil || r.app.Header.Get("x-session-reason") != "ok" || r.document(t).Data["theme"] != "dark" {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
}

// With the filter gone from the chain, the rest of the recipe lets nobody through.
func TestGuardWithoutFilter(t *testing.T) {
	e := startYAML(t, without(t, recipe(t, newApp(t)), "- name: curfew"))
	c := newClient(t, e, "plain")
	for _, path := range []string{"/", "/public", "/static/x", "/login", "/healthz"} {
		for _, lines := range [][]string{nil, {"X-Session-Subject: admin"}, {"X-Session-Reason: ok", "X-Session: {}"}, {"X-SESSION-SUBJECT:  "}} {
			if r := c.do("GET", path, "", lines...); r.StatusCode != 403 || r.app != nil {
				t.Errorf("%s %v: %d %s", path, lines, r.StatusCode, r.body)
			}
		}
	}
}
