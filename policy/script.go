package policy

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"strings"
)

// script is what pages load to follow their session; script/session.js is its source.
//
//go:embed script/session.min.js
var script string

// scriptTag names the version of the script by its bytes.
func scriptTag() string {
	sum := sha256.Sum256([]byte(script))
	return hex.EncodeToString(sum[:8])
}

// serveScript lets a browser keep the script for good where the page names the version that it wants, and
// ask each time for a newer one where it does not.
func (c *Config) serveScript(r *Request) Answer {
	a := Answer{Status: 200, GRPC: noGRPC}
	tag := `"` + c.scriptTag + `"`
	a.add("etag", tag)
	if _, query := splitPath(r.Path); query == "v="+c.scriptTag {
		a.add("cache-control", "public, max-age=31536000, immutable")
	} else {
		a.add("cache-control", "no-cache")
	}
	if strings.Contains(r.IfNoneMatch, tag) {
		a.Status = 304
		return a
	}
	a.add("content-type", "text/javascript; charset=utf-8")
	a.add("x-content-type-options", "nosniff")
	a.Body = []byte(script)
	return a
}
