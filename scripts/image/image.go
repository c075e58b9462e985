package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	source      = "https://github.com/curfew-proxy/curfew"
	description = "A Wasm filter for Envoy: signed-cookie sessions, with timeouts, validated and renewed in the proxy"
)

// No time goes into the image, so that its digest depends on the module and its
// version alone. The formats want one all the same.
var noTime = time.Unix(0, 0).UTC()

// newImage is the compat variant of the Wasm image spec: an ordinary image whose
// last layer has plugin.wasm at its root.
// https://github.com/solo-io/wasm/blob/master/spec/spec-compat.md
func newImage(self filter, wasm []byte) (v1.Image, error) {
	archive, err := layerTar(wasm)
	if err != nil {
		return nil, err
	}
	opener := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive)), nil }
	layer, err := tarball.LayerFromOpener(opener,
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(gzip.BestCompression))
	if err != nil {
		return nil, err
	}
	labels := self.labels()
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	base, err = mutate.ConfigFile(base, &v1.ConfigFile{
		Architecture: "wasm",
		OS:           "wasip1",
		Created:      v1.Time{Time: noTime},
		RootFS:       v1.RootFS{Type: "layers"},
		Config:       v1.Config{Labels: labels},
	})
	if err != nil {
		return nil, err
	}
	image, err := mutate.Append(base, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: noTime}, CreatedBy: "plugin.wasm"},
	})
	if err != nil {
		return nil, err
	}
	return mutate.Annotations(image, labels).(v1.Image), nil
}

// labels are those of the OCI image spec. A licence is stated only if there is one.
func (f filter) labels() map[string]string {
	labels := map[string]string{
		"org.opencontainers.image.title":       "curfew",
		"org.opencontainers.image.description": description,
		"org.opencontainers.image.version":     f.version,
		"org.opencontainers.image.source":      source,
	}
	if f.license != noAssertion {
		labels["org.opencontainers.image.licenses"] = f.license
	}
	return labels
}

func layerTar(wasm []byte) ([]byte, error) {
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	header := &tar.Header{Name: "plugin.wasm", Mode: 0o644, Size: int64(len(wasm)), ModTime: noTime, Format: tar.FormatUSTAR}
	if err := writer.WriteHeader(header); err != nil {
		return nil, err
	}
	if _, err := writer.Write(wasm); err != nil {
		return nil, err
	}
	err := writer.Close()
	return archive.Bytes(), err
}
