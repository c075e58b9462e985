package main

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// makeCLI has the Makefile in root build the tool, and returns what was built.
func makeCLI(t *testing.T, root string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "curfew")
	cmd := exec.Command("make", "-s", "-C", root, "cli", "CLI="+file)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make cli: %v\n%s", err, out)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The binary needs no library, no loader and no other file, and names none of the machine that built it.
func TestStatic(t *testing.T) {
	root := mustAbs(t, "../..")
	binary := makeCLI(t, root)
	f, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("it has a %v: it is not static", p.Type)
		}
	}
	if libraries, err := f.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("it needs %q (%v)", libraries, err)
	}
	if bytes.Contains(binary, []byte(root)) {
		t.Errorf("it names %s", root)
	}

	// Another folder builds the same bytes.
	copied := t.TempDir()
	for _, name := range []string{"cmd", "cookie", "policy", "filter"} {
		if err := os.CopyFS(filepath.Join(copied, name), os.DirFS(filepath.Join(root, name))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"main.go", "go.mod", "go.sum", "Makefile"} {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(makeCLI(t, copied), binary) {
		t.Error("the same source in another folder builds another file")
	}
}
