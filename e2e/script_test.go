package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// maxScript is what pages may be made to load, in bytes.
const maxScript = 6144

func readFile(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.FromSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// What is served is the small file that was checked in, and a cache may keep it where the page says which it wants.
func TestScriptServed(t *testing.T) {
	file := readFile(t, "../policy/script/session.min.js")
	tag := regexp.MustCompile(`session\.js(\?v=[0-9a-f]+)" integrity="sha256-([^"]+)"`).FindStringSubmatch(readFile(t, "../docs/browser.md"))
	sum := sha256.Sum256([]byte(file))
	if want := base64.StdEncoding.EncodeToString(sum[:]); tag == nil || tag[2] != want {
		t.Fatalf("docs/browser.md has another script's hash: write ?v=%x and sha256-%s", sum[:8], want)
	}
	e := start(t, setup{app: newApp(t), env: map[string]string{"CURFEW_KEY": newKey()},
		config: `{"keys": [{"id": "a", "secret_env": "CURFEW_KEY"}], "login": {"url": "/login"}}`})
	c := newClient(t, e, "h2")
	for query, cache := range map[string]string{"": "no-cache", "?v=0": "no-cache", tag[1]: "public, max-age=31536000, immutable"} {
		r := c.do("GET", "/.session/session.js"+query, "")
		if r.body != file || r.StatusCode != 200 || r.Header.Get("cache-control") != cache || r.Header.Get("content-type") != "text/javascript; charset=utf-8" {
			t.Errorf("session.js%s: %d, %d bytes, %v", query, r.StatusCode, len(r.body), r.Header)
		}
		if len(r.body) > maxScript || strings.ContainsFunc(r.body, func(c rune) bool { return c > '~' }) {
			t.Errorf("session.js%s has %d bytes: %d are the most, and all of ASCII", query, len(r.body), maxScript)
		}
	}
}

// Whatever can be set from outside, and its default, is in the docs.
func TestScriptDocumented(t *testing.T) {
	script, page := readFile(t, "../policy/script/session.js"), readFile(t, "../docs/browser.md")
	texts := regexp.MustCompile(`(?s)const texts = \{(.*?)\};`).FindStringSubmatch(script)
	if texts == nil {
		t.Fatal("session.js has no texts")
	}
	for _, m := range regexp.MustCompile(`(\w+): "(.*)",`).FindAllStringSubmatch(texts[1], -1) {
		if row := "| `data-" + m[1] + "` | " + m[2] + " |\n"; !strings.Contains(page, row) {
			t.Errorf("docs/browser.md lacks the row %s", row)
		}
	}
	for pattern, format := range map[string]string{`(--curfew-[a-z-]+),`: "\n  %: ", `emit\("(\w+)"`: "\n| `curfew:%` |", `(?:status|answer)\.(\w+_in|required|state)`: "`%`", `"(\w+)" in script\.dataset`: "\n| `data-%` |"} {
		found := regexp.MustCompile(pattern).FindAllStringSubmatch(script, -1)
		if found == nil {
			t.Errorf("session.js has nothing like %s", pattern)
		}
		for _, m := range found {
			if want := strings.Replace(format, "%", m[1], 1); !strings.Contains(page, want) {
				t.Errorf("docs/browser.md lacks %q", want)
			}
		}
	}
}

// tsc checks one file, given its text, against the types of the events.
func tsc(t testing.TB, name, text string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, name)
	for path, text := range map[string]string{path: text, filepath.Join(dir, "session.d.ts"): readFile(t, "../policy/script/session.d.ts")} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(tool(t, "CURFEW_NODE"), filepath.Join(tool(t, "CURFEW_NPM"), "node_modules/typescript/bin/tsc"),
		"--strict", "--noEmit", "--types", "", "--lib", "es2022,dom,dom.iterable", "--allowJs", "--checkJs", path, filepath.Join(dir, "session.d.ts")).CombinedOutput()
	return string(out), err
}

// The types take a listener for each event and the examples of the docs, and refuse what an event does not have.
func TestScriptTypes(t *testing.T) {
	if out, err := tsc(t, "sample.ts", readFile(t, "../policy/script/session.test-d.ts")); err != nil {
		t.Errorf("session.test-d.ts: %v\n%s", err, out)
	}
	examples := regexp.MustCompile("(?s)```js\n(.*?)```").FindAllStringSubmatch(readFile(t, "../docs/browser.md"), -1)
	if len(examples) == 0 {
		t.Error("docs/browser.md shows no script")
	}
	for _, m := range examples {
		if out, err := tsc(t, "example.js", m[1]); err != nil {
			t.Errorf("an example of docs/browser.md: %v\n%s", err, out)
		}
	}
	for _, wrong := range []string{
		`document.addEventListener("curfew:expired", (e) => e.detail.extend());`,
		`document.addEventListener("curfew:warning", (e) => e.detail.idle_in.length);`,
		`document.addEventListener("curfew:extended", (e) => e.detail.state === "over");`,
	} {
		if out, err := tsc(t, "wrong.ts", wrong); err == nil || !strings.Contains(out, "wrong.ts(1,") {
			t.Errorf("tsc takes %s: %v\n%s", wrong, err, out)
		}
	}
}

// Packages come from whatever registry npm is set up for: the lockfile pins hashes, no addresses.
func TestPackagesPinned(t *testing.T) {
	lock := readFile(t, "../scripts/npm/package-lock.json")
	if strings.Contains(lock, "://") {
		t.Error("package-lock.json has an address; scripts/npm/.npmrc keeps them out: write it anew by npm install --package-lock-only")
	}
	// The first entry is the list itself.
	if entries, pinned := strings.Count(lock, `"version": "`), strings.Count(lock, `"integrity": "sha512-`); entries == 0 || entries != pinned {
		t.Errorf("package-lock.json pins %d of %d packages by hash", pinned, entries)
	}
}
