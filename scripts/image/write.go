package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

const sums = "SHA256SUMS"

// write leaves SHA256SUMS for the end: where it is, the rest is whole.
func write(out string, image v1.Image, bill []byte, version string) error {
	folder := filepath.Join(out, "image")
	for _, old := range []string{filepath.Join(out, sums), folder} {
		if err := os.RemoveAll(old); err != nil {
			return err
		}
	}
	index, err := layout.Write(folder, empty.Index)
	if err != nil {
		return err
	}
	// The name by which skopeo finds an image in a layout.
	name := layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": version})
	if err := index.AppendImage(image, name); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, "curfew.spdx.json"), bill, 0o644); err != nil {
		return err
	}
	return writeSums(out)
}

func writeSums(out string) error {
	files, err := released(out)
	if err != nil {
		return err
	}
	var text []byte
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(out, file))
		if err != nil {
			return err
		}
		text = fmt.Appendf(text, "%s  %s\n", sha256Hex(content), file)
	}
	return os.WriteFile(filepath.Join(out, sums), text, 0o644)
}

// released are the files of a release, sorted, by their names inside out.
func released(out string) ([]string, error) {
	files := []string{"curfew.spdx.json", "curfew.wasm"}
	err := fs.WalkDir(os.DirFS(out), "image", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, path)
		}
		return err
	})
	return files, err
}

// report prints sizes in bytes, names inside out, and the digest.
func report(stdout io.Writer, out string, image v1.Image, version string) error {
	files, err := released(out)
	if err != nil {
		return err
	}
	for _, file := range append(files, sums) {
		info, err := os.Stat(filepath.Join(out, file))
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "%9d  %s\n", info.Size(), file)
	}
	digest, err := image.Digest()
	fmt.Fprintf(stdout, "curfew:%s %s\n", version, digest)
	return err
}

func sha256Hex(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
