package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	k8s "sigs.k8s.io/yaml"
)

// scalars are what people write without quotes.
var scalars = strings.Split(`2024_01|202401|2026-11|on|On|off|OFF|yes|no|y|N|true|False|~|null|010|08|0x1F|0o10|0b11|1.10|1.5|.5|1e3|+5|-0|5|9007199254740993|-9007199254740993|`+
	`18446744073709551616|2147483648|2026-11-20T00:00:00Z|2026-11-20|12:30|12:30:45|1_000|abc|a b|CURFEW_KEY|/login|15m|0|x: y`, "|")

func node(t *testing.T, text string) *yaml.Node {
	t.Helper()
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(text), &n); err != nil {
		t.Fatal(err)
	}
	return n.Content[0]
}

func convert(t *testing.T, k kind, text string) (string, []finding) {
	c := &converter{file: "f", kind: k, places: map[string]place{}}
	return c.value(node(t, text), ""), c.traps
}

func parsed(t *testing.T, text string) (v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// What lint hands to the filter's parser is what Kubernetes' own reader of YAML makes of it.
func TestConverterIsKubernetes(t *testing.T) {
	docs := []string{
		"a: {b: [1, x, \"off\", 'no']}\nc: |\n    text\n    more\n",
		"a: &x {k: off}\nb: *x\nc: [*x, *x]\n",
		"a: >-\n  folded\n  text\nb: \"\\u00e9\"\nc: 'it''s'\nd: !!str 010\n",
		"a: 1\nb:\n- 2\n- c: 3\n",
		"{\"a\": {\"b\": \"on\"}, \"n\": 5}",
	}
	for _, s := range scalars {
		if !strings.Contains(s, ": ") {
			docs = append(docs, "a: "+s+"\nb: ["+s+"]\n")
			if _, err := k8s.YAMLToJSON([]byte(s + ": 1")); err == nil {
				docs = append(docs, s+": 1\n")
			}
		}
	}
	for _, doc := range docs {
		want, err := k8s.YAMLToJSON([]byte(doc))
		if err != nil {
			t.Fatalf("%s: %v", doc, err)
		}
		got, _ := convert(t, gateway, doc)
		if diff := cmp.Diff(parsed(t, string(want)), parsed(t, got)); diff != "" {
			t.Errorf("%s\n%s", doc, diff)
		}
	}
}

// A trap is said where, and only where, YAML makes something else of a scalar than stands there.
func TestTrapsAreReal(t *testing.T) {
	for _, s := range scalars {
		if strings.Contains(s, ": ") {
			continue
		}
		b, err := k8s.YAMLToJSON([]byte("v: " + s))
		if err != nil {
			t.Fatal(err)
		}
		var v struct{ V any }
		if err := json.Unmarshal(b, &v); err != nil { // by doubles, as google.protobuf.Struct
			t.Fatal(err)
		}
		became, _ := json.Marshal(v.V)
		wrong := string(became) != s && string(became) != quote(s)
		_, traps := convert(t, istio, "{require: ["+s+"]}")
		errors := 0
		for _, f := range traps {
			if f.severity == isError {
				errors++
			}
		}
		if wrong != (errors == 1) {
			t.Errorf("%s becomes %s, and lint says %v", s, became, traps)
		}
		if _, traps := convert(t, istio, "{require: ["+quote(s)+"]}"); len(traps) > 0 {
			t.Errorf("in quotes: %v", traps)
		}
	}
}

// What Envoy 1.40.0 showed of its own YAML, in a Struct of its bootstrap.
func TestEnvoyScalar(t *testing.T) {
	for s, want := range map[string]string{
		"2024_01": `"2024_01"`, "on": "true", "Off": "false", "y": "true", "NO": "false", "010": "8", "0x1F": "31", "0o10": `"0o10"`, "0b11": `"0b11"`,
		"1.10": `"1.10"`, "1e3": `"1e3"`, ".5": `".5"`, "+5": "5", "-0": "0", "2147483648": `"2147483648"`, "9007199254740993": `"9007199254740993"`, "12:30": `"12:30"`,
		"~": "null", "Null": "null", "": "null", "1_000": `"1_000"`, "08": `"08"`, "1.": `"1."`, "2026-11": `"2026-11"`, ".inf": `".inf"`, "tRue": `"tRue"`,
		"18446744073709551616": `"18446744073709551616"`, "-010": "-8",
	} {
		if got := envoyScalar(s); got != want {
			t.Errorf("%q becomes %s, want %s", s, got, want)
		}
	}
}

func TestTrapsHideSecrets(t *testing.T) {
	for _, doc := range []string{
		"{keys: [{id: a, secret: 0123456701234567012345670123456701234567}]}",
		"{keys: [{id: a, secret_env: 0123456701234567012345670123456701234567}]}",
		"{keys: [0123456701234567012345670123456701234567]}",
		"{django_messages: 0123456701234567012345670123456701234567}",
		"{revoke: {feed: {secret: 0123456701234567012345670123456701234567}}}",
	} {
		_, traps := convert(t, istio, doc)
		if len(traps) != 1 {
			t.Errorf("%s: %v", doc, traps)
		}
		for _, f := range traps {
			if strings.ContainsAny(f.message, "0123456789") {
				t.Errorf("%s: %s", doc, f.message)
			}
		}
	}
}

// An anchor inside itself has no end.
func TestAliasWithoutEnd(t *testing.T) {
	if got, _ := convert(t, istio, "a: &x [*x]\n"); !strings.Contains(got, "null") {
		t.Error(got)
	}
}
