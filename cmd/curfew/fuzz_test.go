package main

import (
	"os"
	"regexp"
	"testing"

	"github.com/curfew-proxy/curfew/policy"
)

// seeds are the files of the scripts.
func seeds(f *testing.F, script string) {
	text, err := os.ReadFile("testdata/script/" + script)
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range regexp.MustCompile(`(?m)^-- .* --$`).Split(string(text), -1) {
		f.Add(file)
	}
}

// Whatever a file holds, lint ends, and every finding has a place in it.
func FuzzLint(f *testing.F) {
	seeds(f, "lint.txtar")
	f.Add("kind: WasmPlugin\nspec: &x\n  pluginConfig: {a: *x}\n")
	f.Add("a: &x [*x]\nconfiguration: {\"@type\": google.protobuf.Struct, value: *x}\n")
	f.Add("kind: WasmPlugin\nspec: 5\n---\nkind: TrafficExtension\nspec: {wasm: [1]}\n---\nkind: EnvoyExtensionPolicy\nspec: {wasm: [1, {config: x}]}\n")
	f.Fuzz(func(t *testing.T, text string) {
		l := &linter{all: true}
		l.file("f", []byte(text))
		for _, p := range l.plugins {
			l.plugin(p, madeUp())
		}
		l.vms()
		for _, found := range l.findings {
			if offset := offsetOf(text, found.place); found.line < 1 || found.column < 0 || offset > len(text) {
				t.Errorf("%+v", found)
			}
		}
	})
}

// Whatever is pasted, explain reads it or says why not, and what it reads can be explained.
func FuzzParseCurl(f *testing.F) {
	seeds(f, "explain.txtar")
	f.Add("curl -")
	f.Add("curl -H : -H ';' -b = --url http://a/?#")
	c, err := policy.Parse(anyKey, madeUp())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		curl, err := parseCurl(text)
		if err != nil {
			return
		}
		x := &explainer{}
		x.explain(c, anyKey, curl, nil, 1_800_000_000)
	})
}
