package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// part is a piece of somebody else's code that is linked into the filter.
type part struct {
	name    string
	version string
	license string
	goPath  string // how Go's package URLs call it, or empty
	sum     string // "h1:..." of go.sum, or empty
	origin  string // where it came from, in words, or empty
}

// linked are all parts, as TinyGo sees them: build tags and target decide.
func linked(root string, known licenses) ([]part, error) {
	tinygo, err := output(root, filepath.Join(root, "scripts", "toolchain"), "tinygo")
	if err != nil {
		return nil, err
	}
	modules, err := linkedModules(root, tinygo, known)
	if err != nil {
		return nil, err
	}
	compiler, err := compilerParts(root, tinygo, known)
	if err != nil {
		return nil, err
	}
	runtimes, err := runtimeParts(root, tinygo)
	return append(append(modules, compiler...), runtimes...), err
}

// module is what go list says of one.
type module struct {
	Path, Version, Sum, Dir string
	Main                    bool
	Replace                 *module
}

func linkedModules(root, tinygo string, known licenses) ([]part, error) {
	list, err := output(root, tinygo, "list", "-target=wasip1", "-deps", "-json", ".")
	if err != nil {
		return nil, err
	}
	var parts []part
	seen := map[string]bool{}
	for decoder := json.NewDecoder(strings.NewReader(list)); ; {
		var pkg struct{ Module *module }
		if err := decoder.Decode(&pkg); errors.Is(err, io.EOF) {
			return parts, nil
		} else if err != nil {
			return nil, fmt.Errorf("tinygo list: %w", err)
		}
		if pkg.Module == nil || pkg.Module.Main || seen[pkg.Module.Path] {
			continue
		}
		seen[pkg.Module.Path] = true
		found, err := pkg.Module.part(known)
		if err != nil {
			return nil, err
		}
		parts = append(parts, found)
	}
}

func (m *module) part(known licenses) (part, error) {
	if m.Replace != nil {
		m = m.Replace
	}
	license, err := known.of(m.Dir)
	return part{name: m.Path, version: m.Version, license: license, goPath: m.Path, sum: m.Sum}, err
}

var versions = regexp.MustCompile(`^tinygo version (\S+) .*\(using go version go(\S+) and LLVM`)

// compilerParts are what TinyGo links of its own and of Go's standard library.
func compilerParts(root, tinygo string, known licenses) ([]part, error) {
	said, err := output(root, tinygo, "version")
	if err != nil {
		return nil, err
	}
	version := versions.FindStringSubmatch(said)
	if version == nil {
		return nil, fmt.Errorf("tinygo version says %q, without the versions of TinyGo and Go: use a TinyGo that scripts/toolchain builds", said)
	}
	parts := []part{
		{name: "tinygo", version: "v" + version[1], goPath: "github.com/tinygo-org/tinygo", origin: "runtime and standard library"},
		{name: "stdlib", version: version[2], goPath: "stdlib", origin: "Go's standard library"},
	}
	for i, variable := range []string{"TINYGOROOT", "GOROOT"} {
		folder, err := output(root, tinygo, "env", variable)
		if err != nil {
			return nil, err
		}
		if parts[i].license, err = known.of(folder); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// runtimeParts are the C libraries that TinyGo links against. A released TinyGo
// brings its own and does not say their versions; with the one that
// scripts/toolchain builds they are Debian's.
func runtimeParts(root, tinygo string) ([]part, error) {
	info, err := output(root, tinygo, "info", "-json", "-target=wasip1")
	if err != nil {
		return nil, err
	}
	var target struct{ Target struct{ Libc string } }
	if err := json.Unmarshal([]byte(info), &target); err != nil {
		return nil, fmt.Errorf("tinygo info: %w", err)
	}
	var parts []part
	for _, library := range [][2]string{{"wasi-libc", "wasi-libc"}, {"compiler-rt", "libclang-rt-19-dev-wasm32"}} {
		found := part{name: library[0], license: noAssertion, origin: "comes with TinyGo; linked is what is called"}
		if target.Target.Libc == "" {
			found.origin = "Debian package " + library[1] + "; linked is what is called"
			if found.version, err = output(root, "dpkg-query", "-W", "-f", "${Version}", library[1]); err != nil {
				return nil, err
			}
		}
		parts = append(parts, found)
	}
	return parts, nil
}

// output runs a command in a folder; what it tells people passes through.
func output(folder, name string, args ...string) (string, error) {
	command := exec.Command(name, args...)
	command.Dir, command.Stderr = folder, os.Stderr
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", filepath.Base(name), strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}
