package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const (
	module = "github.com/curfew-proxy/curfew"
	sdk    = "github.com/tetratelabs/proxy-wasm-go-sdk/"
)

// imports are the packages that a package of ours imports itself.
func imports(t *testing.T, pkg string) []string { return list(t, "{{join .Imports \"\\n\"}}", pkg) }

func list(t *testing.T, format string, args ...string) []string {
	t.Helper()
	out, err := exec.Command("go", append([]string{"list", "-f", format}, args...)...).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return strings.Fields(string(out))
}

// Arrows go one way, and one package beside main knows proxy-wasm.
func TestArrows(t *testing.T) {
	allowed := map[string][]string{
		module:             {module + "/filter"},
		module + "/filter": {module + "/policy", module + "/cookie"},
		module + "/policy": {module + "/cookie"},
		module + "/cookie": nil,
	}
	inModule := list(t, "{{.ImportPath}}", "-deps", ".")
	for _, pkg := range inModule {
		if !strings.HasPrefix(pkg, module) {
			continue
		}
		may, known := allowed[pkg]
		if !known {
			t.Errorf("%s is new here: say what it may import", pkg)
		}
		for _, dep := range imports(t, pkg) {
			if strings.HasPrefix(dep, module) && !slices.Contains(may, dep) {
				t.Errorf("%s imports %s", pkg, dep)
			}
		}
	}
	for _, pkg := range list(t, "{{.ImportPath}}", "./...") {
		if pkg == module || pkg == module+"/filter" {
			continue
		}
		for _, dep := range imports(t, pkg) {
			if strings.HasPrefix(dep, sdk) {
				t.Errorf("%s imports %s", pkg, dep)
			}
		}
	}
}
