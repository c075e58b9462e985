package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

const repository = "../.."

// Nothing here looks into the module, so a short one does.
var wasm = []byte("\x00asm\x01\x00\x00\x00")

// build runs the command on a module that was built at that time, and returns
// the folder and what was printed.
func build(t *testing.T, root string, built time.Time) (out, printed string) {
	t.Helper()
	out = t.TempDir()
	file := filepath.Join(out, "curfew.wasm")
	if err := os.WriteFile(file, wasm, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, built, built); err != nil {
		t.Fatal(err)
	}
	var stdout strings.Builder
	if err := run(root, out, &stdout); err != nil {
		t.Fatal(err)
	}
	return out, stdout.String()
}

func contents(t *testing.T, folder string) map[string]string {
	t.Helper()
	files := map[string]string{}
	root := os.DirFS(folder)
	err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(root, path)
		files[path] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestSameBytesOnAnotherPathAtAnotherTime(t *testing.T) {
	moved := filepath.Join(t.TempDir(), "moved")
	here, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(here, moved); err != nil {
		t.Fatal(err)
	}
	first, printed := build(t, repository, time.Now())
	second, printedThen := build(t, moved, time.Now().AddDate(-1, 0, 0))
	if diff := cmp.Diff(contents(t, first), contents(t, second)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(printed, printedThen); diff != "" {
		t.Error(diff)
	}
	for file := range contents(t, first) {
		if !strings.Contains(printed, "  "+file+"\n") {
			t.Errorf("%s is not in what was printed:\n%s", file, printed)
		}
	}
}

func TestBuildTakesTheOldImageAway(t *testing.T) {
	out, _ := build(t, repository, time.Now())
	want := contents(t, out)
	if err := os.WriteFile(filepath.Join(out, "image", "stale"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(repository, out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, contents(t, out)); diff != "" {
		t.Error(diff)
	}
}

func TestLayout(t *testing.T) {
	out, printed := build(t, repository, time.Now())
	index, err := layout.ImageIndexFromPath(filepath.Join(out, "image"))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 {
		t.Fatalf("%d images, want one: crane pushes the only one", len(manifest.Manifests))
	}
	version := readBill(t, out).Packages[0].PackageVersion
	if last := "curfew:" + version + " " + manifest.Manifests[0].Digest.String() + "\n"; !strings.HasSuffix(printed, last) {
		t.Errorf("printed\n%s, want %s at the end", printed, last)
	}
}

func TestImage(t *testing.T) {
	image, err := newImage(filter{version: "1.2.3", license: noAssertion}, wasm)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"architecture":"wasm"`, `"os":"wasip1"`, `"type":"layers"`, `"created":"1970-01-01T00:00:00Z"`} {
		if !strings.Contains(string(config), want) {
			t.Errorf("the config lacks %s: %s", want, config)
		}
	}
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Layers) != 1 || manifest.Layers[0].MediaType != "application/vnd.oci.image.layer.v1.tar+gzip" {
		t.Errorf("layers %v, want one of tar+gzip", manifest.Layers)
	}
	if diff := cmp.Diff(filter{version: "1.2.3", license: noAssertion}.labels(), manifest.Annotations); diff != "" {
		t.Error(diff)
	}
}

func TestLayerHoldsTheModuleAlone(t *testing.T) {
	image, err := newImage(filter{}, wasm)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	compressed, err := layers[0].Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer compressed.Close()
	unzipped, err := gzip.NewReader(compressed)
	if err != nil {
		t.Fatal(err)
	}
	if !unzipped.ModTime.IsZero() || unzipped.Name != "" {
		t.Errorf("gzip tells time %v and name %q", unzipped.ModTime, unzipped.Name)
	}
	archive := tar.NewReader(unzipped)
	header, err := archive.Next()
	if err != nil {
		t.Fatal(err)
	}
	want := &tar.Header{Typeflag: tar.TypeReg, Name: "plugin.wasm", Size: int64(len(wasm)), Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR}
	if diff := cmp.Diff(want, header); diff != "" {
		t.Error(diff)
	}
	content, err := io.ReadAll(archive)
	if err != nil || !bytes.Equal(content, wasm) {
		t.Errorf("content %q, error %v, want %q", content, err, wasm)
	}
	if _, err := archive.Next(); err != io.EOF {
		t.Errorf("after plugin.wasm: %v, want the end", err)
	}
}

func TestLabelsStateALicenceOnlyIfThereIsOne(t *testing.T) {
	const key = "org.opencontainers.image.licenses"
	if got, there := (filter{license: noAssertion}).labels()[key]; there {
		t.Errorf("no licence is known, but %q stated", got)
	}
	if got := (filter{license: "MIT"}).labels()[key]; got != "MIT" {
		t.Errorf("%q, want MIT", got)
	}
}

func TestSumsCheck(t *testing.T) {
	out, _ := build(t, repository, time.Now())
	check := func() error {
		command := exec.Command("sha256sum", "--check", "--strict", "--quiet", sums)
		command.Dir = out
		return command.Run()
	}
	if err := check(); err != nil {
		t.Error(err)
	}
	for file := range contents(t, out) {
		if file == sums {
			continue
		}
		path := filepath.Join(out, file)
		old, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, content := range [][]byte{append(old[:len(old):len(old)], 'x'), old} {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			if changed := len(content) != len(old); changed != (check() != nil) {
				t.Errorf("%s changed: %t, but sha256sum says %v", file, changed, check())
			}
		}
	}
}

func TestVersionOf(t *testing.T) {
	tests := []struct{ changelog, version, problem string }{
		{"# Changelog\n## [Unreleased]\n### Added\n- a\n## [1.0.0] - 2026-12-01\n- b\n", "0.0.0-unreleased", ""},
		{"# Changelog\n## [Unreleased]\n\n## [1.1.0] - 2027-01-01\n- b\n## [1.0.0]\n- c\n", "1.1.0", ""},
		{"## [1.0.0-rc.1]\n- b\n", "1.0.0-rc.1", ""},
		{"- an entry without a heading\n", "", "heading"},
		{"## [Unreleased]\n", "", "heading"},
		{"", "", "heading"},
	}
	for _, test := range tests {
		got, err := versionOf(test.changelog)
		expect(t, test.changelog, got, test.version, err, test.problem)
	}
}

func TestSourceDate(t *testing.T) {
	tests := []struct{ epoch, date, problem string }{
		{"", "1970-01-01T00:00:00Z", ""},
		{"1795305600", "2026-11-22T00:00:00Z", ""},
		{"-1", "", "SOURCE_DATE_EPOCH"},
		{"today", "", "SOURCE_DATE_EPOCH"},
	}
	for _, test := range tests {
		date, err := sourceDate(test.epoch)
		got := date.Format(time.RFC3339)
		if err != nil {
			got = ""
		}
		expect(t, test.epoch, got, test.date, err, test.problem)
	}
}

func TestNoFilterBuilt(t *testing.T) {
	err := run(repository, t.TempDir(), io.Discard)
	expect(t, "an empty folder", "", "", err, "make build")
}

// expect compares a result, or an error with words that must be in it.
func expect(t *testing.T, input, got, want string, err error, problem string) {
	t.Helper()
	switch {
	case problem == "" && err != nil:
		t.Errorf("%q: %v", input, err)
	case problem != "" && (err == nil || !strings.Contains(err.Error(), problem)):
		t.Errorf("%q: error %v, want one with %q", input, err, problem)
	case got != want:
		t.Errorf("%q: %q, want %q", input, got, want)
	}
}
