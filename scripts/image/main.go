// Command image makes of the built filter what a release is: an OCI image for
// registries, a bill of materials and checksums. The same source, built by the
// same tools, gives the same bytes.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

const usage = `usage: image ROOT OUT

Reads OUT/curfew.wasm, which scripts/build-wasm made of the repository ROOT, and writes

  OUT/image/            an OCI layout, which crane and skopeo push
  OUT/curfew.spdx.json  what is in the module, as SPDX 2.3
  OUT/SHA256SUMS        the checksums of all this

SOURCE_DATE_EPOCH, in seconds, is the time that curfew.spdx.json states; default 0.`

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(root, out string, stdout io.Writer) error {
	// Commands run inside it.
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	wasm, err := os.ReadFile(filepath.Join(out, "curfew.wasm"))
	if err != nil {
		return fmt.Errorf("no filter to pack, run make build first: %w", err)
	}
	created, err := sourceDate(os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return err
	}
	known, err := newLicenses()
	if err != nil {
		return err
	}
	self, err := describe(root, wasm, known)
	if err != nil {
		return err
	}
	parts, err := linked(root, known)
	if err != nil {
		return err
	}
	bill, err := billOfMaterials(self, parts, created)
	if err != nil {
		return err
	}
	image, err := newImage(self, wasm)
	if err != nil {
		return err
	}
	if err := write(out, image, bill, self.version); err != nil {
		return err
	}
	return report(stdout, out, image, self.version)
}

// filter is what the image and the bill of materials say of curfew.wasm.
type filter struct {
	version string
	sha256  string // hex
	license string // an SPDX expression or NOASSERTION
}

func describe(root string, wasm []byte, known licenses) (filter, error) {
	changelog, err := os.ReadFile(filepath.Join(root, "CHANGELOG.md"))
	if err != nil {
		return filter{}, err
	}
	version, err := versionOf(string(changelog))
	if err != nil {
		return filter{}, err
	}
	license, err := known.of(root)
	return filter{version, sha256Hex(wasm), license}, err
}

var changelogLine = regexp.MustCompile(`(?m)^(?:## \[([^\]]+)\]|- )`)

// versionOf is the version of the topmost part of the changelog with an entry.
// Git is not asked: a checkout without tags must build the same image.
func versionOf(changelog string) (string, error) {
	version := ""
	for _, line := range changelogLine.FindAllStringSubmatch(changelog, -1) {
		switch {
		case line[1] != "":
			version = line[1]
		case version == "Unreleased":
			return "0.0.0-unreleased", nil
		case version != "":
			return version, nil
		}
	}
	return "", fmt.Errorf("CHANGELOG.md has no entry under a heading like ## [1.2.3] or ## [Unreleased]: add one")
}

func sourceDate(epoch string) (time.Time, error) {
	if epoch == "" {
		epoch = "0"
	}
	seconds, err := strconv.ParseUint(epoch, 10, 32)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH %q is not a time in seconds since 1970: correct or unset it", epoch)
	}
	return time.Unix(int64(seconds), 0).UTC(), nil
}
