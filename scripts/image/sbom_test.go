package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdxlib"
)

func readBill(t *testing.T, out string) *spdx.Document {
	t.Helper()
	file, err := os.Open(filepath.Join(out, "curfew.spdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	document, err := json.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := spdxlib.ValidateDocument(document); err != nil {
		t.Error(err)
	}
	return document
}

// toolchain are the packages that are no Go modules of ours.
var toolchain = []string{"compiler-rt", "stdlib", "tinygo", "wasi-libc"}

func TestBillListsWhatIsLinked(t *testing.T) {
	out, _ := build(t, repository, time.Now())
	document := readBill(t, out)
	var modules, rest []string
	for _, found := range document.Packages[1:] {
		if slices.Contains(toolchain, found.PackageName) {
			rest = append(rest, found.PackageName)
		} else {
			modules = append(modules, found.PackageName+" "+found.PackageVersion)
		}
		if found.PackageVersion == "" {
			t.Errorf("%s has no version", found.PackageName)
		}
	}
	if diff := cmp.Diff(goList(t), modules); diff != "" {
		t.Errorf("go list (-) and the bill (+) differ:\n%s", diff)
	}
	if diff := cmp.Diff(toolchain, rest); diff != "" {
		t.Error(diff)
	}
}

// goList asks Go itself, not TinyGo, which modules a build for TinyGo has.
func goList(t *testing.T) []string {
	t.Helper()
	const format = `{{with .Module}}{{if not .Main}}{{.Path}} {{if .Replace}}{{.Replace.Version}}{{else}}{{.Version}}{{end}}{{end}}{{end}}`
	command := exec.Command("go", "list", "-deps", "-tags", "tinygo,tinygo.wasm,purego", "-f", format, ".")
	command.Dir = repository
	command.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	list, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	modules := strings.Split(strings.TrimSpace(string(list)), "\n")
	slices.Sort(modules)
	return slices.Compact(modules)
}

func TestBillStatesSumsLicencesAndAddresses(t *testing.T) {
	out, _ := build(t, repository, time.Now())
	sums, err := os.ReadFile(filepath.Join(repository, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range readBill(t, out).Packages[1:] {
		if slices.Contains(toolchain, found.PackageName) {
			continue
		}
		sum, err := hex.DecodeString(found.PackageChecksums[0].Value)
		if err != nil {
			t.Fatal(err)
		}
		line := found.PackageName + " " + found.PackageVersion + " h1:" + base64.StdEncoding.EncodeToString(sum) + "\n"
		if !strings.Contains(string(sums), line) {
			t.Errorf("not in go.sum: %s", line)
		}
		if found.PackageLicenseConcluded == noAssertion {
			t.Errorf("%s: no licence found in its folder", found.PackageName)
		}
		purl := "pkg:golang/" + found.PackageName + "@" + found.PackageVersion
		if got := found.PackageExternalReferences[0].Locator; got != purl {
			t.Errorf("package URL %s, want %s", got, purl)
		}
	}
}

func TestBillDescribesTheModule(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1795305600")
	out, _ := build(t, repository, time.Now())
	document := readBill(t, out)
	described, err := spdxlib.GetDescribedPackageIDs(document)
	if diff := cmp.Diff([]spdx.ElementID{"curfew"}, described); err != nil || diff != "" {
		t.Errorf("error %v: %s", err, diff)
	}
	want := []spdx.Checksum{{Algorithm: spdx.SHA256, Value: sha256Hex(wasm)}}
	if diff := cmp.Diff(want, document.Packages[0].PackageChecksums); diff != "" {
		t.Error(diff)
	}
	if got := document.CreationInfo.Created; got != "2026-11-22T00:00:00Z" {
		t.Errorf("created %s, not at SOURCE_DATE_EPOCH", got)
	}
	for _, found := range document.Packages[1:] {
		if !slices.ContainsFunc(document.Relationships, func(r *spdx.Relationship) bool {
			return r.RefA.ElementRefID == "curfew" && r.Relationship == "DEPENDS_ON" && r.RefB.ElementRefID == found.PackageSPDXIdentifier
		}) {
			t.Errorf("nothing says that curfew depends on %s", found.PackageName)
		}
	}
}

func TestNamespaceIsTheDocumentsOwn(t *testing.T) {
	seen := map[string]string{}
	for _, self := range []filter{{version: "1.0.0"}, {version: "1.0.1"}, {version: "1.0.1", sha256: "00"}} {
		bill, err := billOfMaterials(self, nil, noTime)
		if err != nil {
			t.Fatal(err)
		}
		document, err := json.Read(strings.NewReader(string(bill)))
		if err != nil {
			t.Fatal(err)
		}
		if other, there := seen[document.DocumentNamespace]; there {
			t.Errorf("%+v has the namespace of %s", self, other)
		}
		seen[document.DocumentNamespace] = self.version
	}
}

// A released TinyGo brings a libc whose version it does not tell.
func TestRuntimesOfAReleasedTinyGo(t *testing.T) {
	tinygo := filepath.Join(t.TempDir(), "tinygo")
	script := "#!/bin/sh\necho '{\"target\": {\"libc\": \"wasi-libc\"}}'\n"
	if err := os.WriteFile(tinygo, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	parts, err := runtimeParts(repository, tinygo)
	if err != nil {
		t.Fatal(err)
	}
	for _, found := range parts {
		if found.version != "" || !strings.Contains(found.origin, "TinyGo") {
			t.Errorf("%+v, want no version and TinyGo as the origin", found)
		}
	}
	if len(parts) != 2 {
		t.Errorf("%d libraries, want 2", len(parts))
	}
}

func TestLicences(t *testing.T) {
	known, err := newLicenses()
	if err != nil {
		t.Fatal(err)
	}
	apache, bsd := licenceOf(t, "github.com/google/licenseclassifier/v2"), licenceOf(t, "github.com/google/go-cmp")
	tests := []struct {
		files []string
		want  string
	}{
		{nil, noAssertion},
		{[]string{"All rights reserved."}, noAssertion},
		{[]string{bsd}, "BSD-3-Clause"},
		{[]string{bsd, apache}, "Apache-2.0 AND BSD-3-Clause"},
	}
	for _, test := range tests {
		folder := t.TempDir()
		for i, text := range test.files {
			if err := os.WriteFile(filepath.Join(folder, fmt.Sprint("LICENSE-", i)), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := known.of(folder)
		expect(t, test.want, got, test.want, err, "")
	}
}

// licenceOf reads the licence of a module that this one uses.
func licenceOf(t *testing.T, module string) string {
	t.Helper()
	folder, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(folder)), "LICENSE"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
