package main

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/package-url/packageurl-go"
	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdx/v2/common"
)

// billOfMaterials is the SPDX document of curfew.wasm as JSON.
func billOfMaterials(self filter, parts []part, created time.Time) ([]byte, error) {
	document := &spdx.Document{
		SPDXVersion:    spdx.Version,
		DataLicense:    spdx.DataLicense,
		SPDXIdentifier: "DOCUMENT",
		DocumentName:   "curfew-" + self.version,
		CreationInfo: &spdx.CreationInfo{
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "curfew-image"}},
			Created:  created.Format(time.RFC3339),
		},
		Packages:      []*spdx.Package{self.spdxPackage()},
		Relationships: []*spdx.Relationship{relationship("DOCUMENT", common.TypeRelationshipDescribe, "curfew")},
	}
	for _, part := range slices.SortedFunc(slices.Values(parts), byName) {
		found, err := part.spdxPackage()
		if err != nil {
			return nil, err
		}
		document.Packages = append(document.Packages, found)
		document.Relationships = append(document.Relationships,
			relationship("curfew", common.TypeRelationshipDependsOn, found.PackageSPDXIdentifier))
	}
	// A namespace must be one document's own; its content makes it so.
	content, err := marshal(document)
	if err != nil {
		return nil, err
	}
	document.DocumentNamespace = source + "/spdx/" + sha256Hex(content)
	return marshal(document)
}

func byName(a, b part) int { return cmp.Compare(a.name, b.name) }

func marshal(document *spdx.Document) ([]byte, error) {
	var text bytes.Buffer
	err := json.Write(document, &text, json.Indent("  "), json.EscapeHTML(false))
	return text.Bytes(), err
}

func relationship(from spdx.ElementID, kind string, to spdx.ElementID) *spdx.Relationship {
	return &spdx.Relationship{
		RefA: spdx.DocElementID{ElementRefID: from}, Relationship: kind, RefB: spdx.DocElementID{ElementRefID: to},
	}
}

// newPackage states what all packages here have: their files were not looked at.
func newPackage(name, version, license string) *spdx.Package {
	return &spdx.Package{
		PackageName:             name,
		PackageSPDXIdentifier:   elementID(name),
		PackageVersion:          version,
		PackageSupplier:         &common.Supplier{Supplier: noAssertion},
		PackageDownloadLocation: noAssertion,
		PackageLicenseConcluded: license,
		PackageLicenseDeclared:  license,
		PackageCopyrightText:    noAssertion,
	}
}

var notInElementID = regexp.MustCompile(`[^A-Za-z0-9.-]`)

func elementID(name string) spdx.ElementID {
	return spdx.ElementID(notInElementID.ReplaceAllString(name, "-"))
}

func (f filter) spdxPackage() *spdx.Package {
	found := newPackage("curfew", f.version, f.license)
	found.PackageFileName = "curfew.wasm"
	found.PackageHomePage = source
	found.PackageDescription = description
	found.PrimaryPackagePurpose = "APPLICATION"
	found.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: f.sha256}}
	return found
}

func (p part) spdxPackage() (*spdx.Package, error) {
	found := newPackage(p.name, p.version, p.license)
	found.PackageSourceInfo = p.origin
	if p.goPath != "" {
		found.PackageExternalReferences = []*spdx.PackageExternalReference{{
			Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: goPURL(p.goPath, p.version),
		}}
	}
	if p.sum != "" {
		sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(p.sum, "h1:"))
		if err != nil {
			return nil, fmt.Errorf("%s has the sum %q in go.sum, which is not base64: run go mod verify: %w", p.name, p.sum, err)
		}
		found.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: hex.EncodeToString(sum)}}
		found.PackageComment = "The checksum is the h1 of go.sum in hex: a SHA-256 over the names and hashes of the module's files."
	}
	return found, nil
}

// goPURL is the package URL by which scanners know a Go module.
func goPURL(path, version string) string {
	namespace, name := "", path
	if slash := strings.LastIndexByte(path, '/'); slash >= 0 {
		namespace, name = path[:slash], path[slash+1:]
	}
	return packageurl.NewPackageURL(packageurl.TypeGolang, namespace, name, version, nil, "").ToString()
}
