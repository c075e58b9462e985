package main

import (
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"strings"
)

var tokenShape = regexp.MustCompile(`1[set]\.[A-Za-z0-9_-]{1,16}\.[A-Za-z0-9_-]{16}`)

// looksSecret reports whether an argument is likely a token or a key: long base64 of mixed characters, or hex.
func looksSecret(arg string) bool {
	if tokenShape.MatchString(arg) {
		return true
	}
	bare := strings.TrimRight(arg, "=")
	bare = bare[strings.LastIndexByte(bare, '=')+1:]
	if b, err := hex.DecodeString(bare); err == nil {
		return len(b) >= 32
	}
	// What begins with a slash is rather a path.
	if !mixed(bare) || strings.HasPrefix(bare, "/") {
		return false
	}
	for _, encoding := range [...]*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := encoding.DecodeString(bare); err == nil && len(b) >= 32 {
			return true
		}
	}
	return false
}

func mixed(s string) bool {
	return strings.ContainsAny(s, "0123456789") && strings.ToLower(s) != s && strings.ToUpper(s) != s
}
