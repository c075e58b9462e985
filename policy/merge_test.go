package policy

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"reflect"
	"strings"
	"testing"
)

// RFC 7396, appendix A, whole: target, patch, result.
func TestMergeAppendixA(t *testing.T) {
	for _, tt := range [][3]string{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		if got := merge(tt[0], tt[1]); got != tt[2] {
			t.Errorf("%s with %s: got %s, want %s", tt[0], tt[1], got, tt[2])
		}
	}
}

// What the RFC does not say: bytes that no patch names stay as they were.
func TestMergeKeepsBytes(t *testing.T) {
	for _, tt := range []struct{ name, target, patch, want string }{
		{"no data", ``, `{"a":1}`, `{"a":1}`},
		{"no data, nothing left", ``, `{"a":null}`, `{}`},
		{"nothing named", `{"b":1,"a":[ 1 ]}`, `{}`, `{"b":1,"a":[ 1 ]}`},
		{"order stays, new ones come last", `{"z":1,"m":2,"a":3}`, `{"y":4,"m":5,"b":6}`, `{"z":1,"m":5,"a":3,"y":4,"b":6}`},
		{"first one goes", `{"z":1,"m":2}`, `{"z":null}`, `{"m":2}`},
		{"last one goes", `{"z":1,"m":2}`, `{"m":null}`, `{"z":1}`},
		{"middle one goes", `{"z":1,"m":2,"a":3}`, `{"m":null}`, `{"z":1,"a":3}`},
		{"all go, one comes", `{"z":1}`, `{"n":1,"z":null}`, `{"n":1}`},
		{"numbers as written", `{"a":1e400,"b":-0,"c":9007199254740993}`, `{"d":1E+2,"e":0.10}`, `{"a":1e400,"b":-0,"c":9007199254740993,"d":1E+2,"e":0.10}`},
		{"escapes as written", `{"\u0061":"\u00e9\/"}`, `{"b":"\u2028"}`, `{"\u0061":"\u00e9\/","b":"\u2028"}`},
		{"patch escapes the name", `{"key":1,"b":2}`, `{"k\u0065y":3}`, `{"key":3,"b":2}`},
		{"target escapes the name", `{"k\u0065y":1,"b":2}`, `{"key":3}`, `{"k\u0065y":3,"b":2}`},
		{"delete an escaped name", `{"k\u0065y":1,"b":2}`, `{"key":null}`, `{"b":2}`},
		{"quote in a name", `{"a\"b":1}`, `{"a\"b":2,"a\\":3}`, `{"a\"b":2,"a\\":3}`},
		{"name is a gjson path", `{"a.b":1,"a":{"b":2},"*":3,"@this":4,"#":5}`, `{"a.b":6,"*":null,"@this":{"x":null}}`, `{"a.b":6,"a":{"b":2},"@this":{},"#":5}`},
		{"empty name", `{"":1}`, `{"":{"":2}}`, `{"":{"":2}}`},
		{"pair in a name", `{"😀":1}`, `{"\ud83d\ude00":2}`, `{"😀":2}`},
		{"spaces of the patch go", `{"a":1}`, " { \"b\" : [ 1 ,\n{ \"c\" : \" d \" } ] } ", `{"a":1,"b":[1,{"c":" d "}]}`},
		{"null in a list is a value", `{}`, `{"a":[null,{"b":null}]}`, `{"a":[null,{"b":null}]}`},
		{"object over a scalar", `{"a":1}`, `{"a":{"b":{"c":null,"d":1}}}`, `{"a":{"b":{"d":1}}}`},
		{"scalar over an object", `{"a":{"b":1}}`, `{"a":false}`, `{"a":false}`},
		{"empty object over a list", `{"a":[1]}`, `{"a":{}}`, `{"a":{}}`},
		{"empty object over an object", `{"a":{"b":1}}`, `{"a":{}}`, `{"a":{"b":1}}`},
		{"case counts", `{"a":1,"A":2}`, `{"A":null}`, `{"a":1}`},
		{"deep", `{"a":{"b":{"c":1,"d":2},"e":3}}`, `{"a":{"b":{"c":null}}}`, `{"a":{"b":{"d":2},"e":3}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := merge(tt.target, tt.patch); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// mergeModel is RFC 7396, section 2, on decoded values.
func mergeModel(target, patch any) any {
	changes, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	out := map[string]any{}
	if old, ok := target.(map[string]any); ok {
		for name, value := range old {
			out[name] = value
		}
	}
	for name, value := range changes {
		if value == nil {
			delete(out, name)
		} else {
			out[name] = mergeModel(out[name], value)
		}
	}
	return out
}

func decodeJSON(t testing.TB, text string) (v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// members are an object's names and values as written.
func members(t testing.TB, text string) (names []string, values map[string]string) {
	t.Helper()
	values = map[string]string{}
	d := json.NewDecoder(strings.NewReader(text))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		t.Fatalf("%s is no object", text)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			t.Fatal(err)
		}
		names = append(names, name.(string))
		values[name.(string)] = string(value)
	}
	return names, values
}

// checkMerge holds a result against the model, and against the order and the bytes of what it came from.
func checkMerge(t testing.TB, target, patch string) {
	t.Helper()
	got := merge(target, patch)
	if want := mergeModel(decodeJSON(t, target), decodeJSON(t, patch)); !reflect.DeepEqual(decodeJSON(t, got), want) {
		t.Fatalf("%s with %s: got %s, want %v", target, patch, got, want)
	}
	if _, ok := decodeJSON(t, target).(map[string]any); !ok {
		return
	}
	if _, ok := decodeJSON(t, patch).(map[string]any); !ok {
		return
	}
	before, old := members(t, target)
	_, named := members(t, patch)
	after, new := members(t, got)
	at := 0
	for _, name := range before {
		if _, changed := named[name]; !changed && new[name] != old[name] {
			t.Fatalf("%s with %s: member %q became %s", target, patch, name, new[name])
		}
		if _, stays := new[name]; stays {
			if after[at] != name {
				t.Fatalf("%s with %s: order changed in %s", target, patch, got)
			}
			at++
		}
	}
}

var mergeNames = []string{`"a"`, `"b"`, `"\u0061b"`, `"ab"`, `""`, `"a.b"`, `"\"\\"`, `"ü"`, `"\u00fc"`, `"A"`}

// randomJSON is any JSON value without a name twice.
func randomJSON(r *rand.Rand, depth int) string {
	kind := r.Intn(10)
	if depth == 0 {
		kind %= 6
	}
	switch kind {
	case 0:
		return "null"
	case 1:
		return "true"
	case 2:
		return fmt.Sprint(r.Intn(3))
	case 3:
		return `1.50e1`
	case 4:
		return `"x"`
	case 5:
		return `"\u00e9 \" ü"`
	case 6:
		var items []string
		for range r.Intn(4) {
			items = append(items, randomJSON(r, depth-1))
		}
		return "[" + strings.Join(items, ",") + "]"
	}
	return randomObject(r, depth)
}

func randomObject(r *rand.Rand, depth int) string {
	var items []string
	seen := map[string]bool{}
	for range r.Intn(6) {
		raw := mergeNames[r.Intn(len(mergeNames))]
		var name string
		_ = json.Unmarshal([]byte(raw), &name)
		if !seen[name] {
			seen[name] = true
			items = append(items, raw+":"+randomJSON(r, depth-1))
		}
	}
	return "{" + strings.Join(items, ",") + "}"
}

func TestMergeIsTheModel(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for range 5_000 {
		checkMerge(t, randomJSON(r, 4), randomJSON(r, 4))
		checkMerge(t, randomObject(r, 4), randomObject(r, 4))
	}
}

// Whoever merges the same patch twice has changed nothing the second time.
func TestMergeAgainChangesNothing(t *testing.T) {
	r := rand.New(rand.NewSource(2))
	for range 2_000 {
		target, patch := randomObject(r, 4), randomObject(r, 4)
		once := merge(target, patch)
		if twice := merge(once, patch); twice != once {
			t.Fatalf("%s with %s: once %s, twice %s", target, patch, once, twice)
		}
	}
}

func FuzzMerge(f *testing.F) {
	r := rand.New(rand.NewSource(3))
	for range 50 {
		f.Add(randomObject(r, 4), randomJSON(r, 4))
	}
	f.Add(`{"\ud800":1}`, `{"\ud801":2}`)
	f.Add(`{"a":1e400}`, "{\"a\" : {\n}}")
	f.Fuzz(func(t *testing.T, target, patch string) {
		if !strictJSON(target) || !strictJSON(patch) || len(target)+len(patch) > maxCommand {
			return
		}
		checkMerge(t, compact(target), patch)
		if got := merge(compact(target), patch); got != compact(got) || !strictJSON(got) {
			t.Fatalf("%s with %s: %s", target, patch, got)
		}
	})
}
