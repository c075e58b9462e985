package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Every example runs as it stands, in a folder of its own. There it finds envoy.yaml, which is the repository's, its
// key in the environment, cookie.txt with a session's cookies, request.txt with a request that has them, an Envoy whose admin port is 9901 and a curl that
// takes nothing but a session.
func TestExamples(t *testing.T) {
	admin := httptest.NewServer(http.HandlerFunc(stats))
	defer admin.Close()
	local := strings.NewReplacer("http://127.0.0.1:9901", admin.URL, "http://127.0.0.1:9902", admin.URL)
	for _, c := range commands {
		if len(c.examples) == 0 {
			t.Errorf("%s has no example", c.name)
		}
		for _, e := range c.examples {
			t.Run(c.name+": "+e.does, func(t *testing.T) {
				dir := exampleFolder(t)
				out, err := inShell(dir, local.Replace(e.line))
				if err != nil {
					t.Errorf("%s: %v\n%s", e.line, err, out)
				}
			})
		}
	}
}

// stats is what an Envoy with Curfew says of itself.
func stats(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/stats/prometheus" {
		_, _ = w.Write([]byte("# TYPE curfew_ok counter\ncurfew_ok{} 7\n# TYPE curfew_memory_pages gauge\ncurfew_memory_pages{} 8\n"))
		return
	}
	_, _ = w.Write([]byte("wasmcustom.curfew_ok: 7\nwasmcustom.curfew_memory_pages: 8\n"))
}

// inShell runs a line as somebody types it. The clock stands where the examples' times make sense.
func inShell(dir, line string) (string, error) {
	cmd := exec.Command("bash", "--norc", "-euo", "pipefail", "-c", line)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "CURFEW_TEST_NOW=2026-11-20T08:15:00Z",
		"CURFEW_KEY=NsTc1iERXraFV0QYSTkmOO4bDxehFVKDw5jBPT0tcAQ=")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func exampleFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	config, err := os.ReadFile("../../envoy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const curl = "#!/bin/sh\ngrep -q '^Cookie: session=1s'\n"
	for name, text := range map[string]string{"envoy.yaml": string(config), "curl": curl} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const prepare = `curfew mint -config envoy.yaml -subject 42 > cookie.txt
echo "curl 'https://shop.example/account' -H '$(cat cookie.txt)'" > request.txt`
	if out, err := inShell(dir, prepare); err != nil {
		t.Fatal(err, out)
	}
	return dir
}
