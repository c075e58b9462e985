package policy

import (
	"encoding/json"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

var compiledSchema = sync.OnceValues(func() (*jsonschema.Schema, error) { return compilePart("") })

// compilePart compiles what a JSON pointer names in the schema.
func compilePart(pointer string) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(Schema))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("config.schema.json", doc); err != nil {
		return nil, err
	}
	return c.Compile("config.schema.json#" + pointer)
}

// schemaCheck returns why the schema, or JSON itself, refuses a text.
func schemaCheck(t testing.TB, text string) error {
	t.Helper()
	schema, err := compiledSchema()
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return err
	}
	return schema.Validate(v)
}

// schemaRefuses reports whether a text is JSON, and whether the schema refuses it.
func schemaRefuses(t testing.TB, text string) (refused, parsed bool) {
	t.Helper()
	err := schemaCheck(t, text)
	var e *jsonschema.ValidationError
	refused = errors.As(err, &e)
	return refused, err == nil || refused
}

type node = map[string]any

func rawSchema(t testing.TB) node {
	t.Helper()
	var root node
	if err := json.Unmarshal([]byte(Schema), &root); err != nil {
		t.Fatal(err)
	}
	return root
}

// schemaField is a place in a config that the schema describes.
type schemaField struct {
	name, path string // path as the parser's errors name it
	in         string // path of the object it is in, "" at the top
	schema     node   // with what it refers to
	own        bool   // is a property by its own name, not an item or an entry of a map
	// config makes a config that is minimal but for the JSON value here.
	config func(value string) string
}

// beside are the fields without which an object would be refused for their lack.
var beside = map[string]map[string]string{
	"":                  {"keys": `[{"id":"a","secret_env":"K"}]`, "login": `{"url":"/login"}`},
	"keys[0]":           {"id": `"a"`, "secret_env": `"K"`},
	"login":             {"url": `"/login"`},
	"revoke.feed":       {"cluster": `"app"`, "path": `"/revoked"`},
	"django_messages":   {"secret_env": `"K"`},
	"login.start_on[0]": {"path": `"/login"`},
	"rules[0]":          {"path": `"/a"`},
}

// instead are the fields that exclude another.
var instead = map[string]string{"keys[0].secret": "secret_env", "django_messages.secret": "secret_env", "revoke.feed.secret": "secret_env", "rules[0].path_prefix": "path"}

// entries are names that the maps of the config may have.
var entries = map[string]string{
	"headers": "x-a", "revoke.subjects": "42", "rules[0].when": "data.a", "rules[0].require": "data.a",
}

// schemaFields walks the schema.
func schemaFields(t testing.TB) (all []schemaField) {
	t.Helper()
	root := rawSchema(t)
	var walk func(f schemaField)
	walk = func(f schemaField) {
		f.schema = resolve(root, f.schema)
		if f.path != "" {
			all = append(all, f)
		}
		properties, _ := f.schema["properties"].(node)
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			walk(property(f, name, properties[name].(node)))
		}
		if more, ok := f.schema["additionalProperties"].(node); ok {
			name, known := entries[f.path]
			if !known {
				t.Fatalf("%s takes any names; say one in entries", f.path)
			}
			entry := property(f, name, more)
			entry.own = false
			walk(entry)
		}
		if items, ok := f.schema["items"].(node); ok {
			walk(schemaField{path: f.path + "[0]", schema: items, config: func(v string) string { return f.config("[" + v + "]") }})
		}
	}
	walk(schemaField{schema: root, config: func(v string) string { return v }})
	return all
}

func property(f schemaField, name string, schema node) schemaField {
	path := (&object{path: f.path}).at(name)
	return schemaField{name: name, path: path, in: f.path, schema: schema, own: true, config: func(v string) string {
		fields := map[string]json.RawMessage{}
		for k, text := range beside[f.path] {
			if k != instead[path] {
				fields[k] = json.RawMessage(text)
			}
		}
		fields[name] = json.RawMessage(v)
		text, err := json.Marshal(fields)
		if err != nil {
			panic(err)
		}
		return f.config(string(text))
	}}
}

// resolve puts what a schema refers to under what it says itself.
func resolve(root, schema node) node {
	name, ok := schema["$ref"].(string)
	if !ok {
		return schema
	}
	def := root["$defs"].(node)[strings.TrimPrefix(name, "#/$defs/")].(node)
	out := maps.Clone(resolve(root, def))
	maps.Copy(out, schema)
	return out
}

// wrongType is a value of a type that a field never has.
func (f schemaField) wrongType() string {
	switch f.schema["type"] {
	case "object", "array":
		return "true"
	}
	return "[]"
}

func TestSchemaKnowsNoFieldThatTheParserDoesNot(t *testing.T) {
	fields := schemaFields(t)
	if len(fields) < 60 {
		t.Fatalf("found %d fields in the schema; the walk misses some", len(fields))
	}
	for _, f := range fields {
		text := f.config(f.wrongType())
		_, err := Parse(text, oneKey.get)
		var e *ConfigError
		if !errors.As(err, &e) || e.Field != f.path || strings.Contains(e.Rule, "unknown") {
			t.Errorf("%s: the parser says %v of %s", f.path, err, text)
		}
		if refused, _ := schemaRefuses(t, text); !refused {
			t.Errorf("%s: the schema takes %s", f.path, text)
		}
	}
}

// The parser lists what it knows when it meets what it does not.
func TestParserKnowsNoFieldThatTheSchemaDoesNot(t *testing.T) {
	root := schemaField{schema: rawSchema(t), config: func(v string) string { return v }}
	objects := 0
	for _, f := range append(schemaFields(t), root) {
		properties, ok := f.schema["properties"].(node)
		if !ok {
			continue
		}
		objects++
		text := property(f, "zz", nil).config("1")
		_, err := Parse(text, oneKey.get)
		var e *ConfigError
		if !errors.As(err, &e) {
			t.Fatalf("%q: the parser takes %s", f.path, text)
		}
		_, list, _ := strings.Cut(e.Rule, "known here: ")
		got := slices.Sorted(slices.Values(strings.Split(list, ", ")))
		if diff := cmp.Diff(slices.Sorted(maps.Keys(properties)), got); diff != "" {
			t.Errorf("%q: schema and parser differ: %s", f.path, diff)
		}
		if refused, _ := schemaRefuses(t, text); !refused {
			t.Errorf("%q: the schema takes %s", f.path, text)
		}
	}
	if objects < 10 {
		t.Errorf("found %d objects with fields; the walk misses some", objects)
	}
}

func TestSchemaDefaultsAreTheParsers(t *testing.T) {
	want, err := Parse(minimal, oneKey.get)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, f := range schemaFields(t) {
		value, ok := f.schema["default"]
		if !ok {
			continue
		}
		found++
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(f.path, "rules[0]") || strings.HasPrefix(f.path, "login.start_on[0]") || strings.HasPrefix(f.path, "revoke.feed.") {
			continue // these have no counterpart in the minimal config; see TestItemDefaults
		}
		got, err := Parse(f.config(string(text)), oneKey.get)
		if diff := cmp.Diff(want, got, compareConfigs); err != nil || diff != "" {
			t.Errorf("%s: %s is not the parser's default: %v %s", f.path, text, err, diff)
		}
	}
	if found < 30 {
		t.Errorf("found %d defaults", found)
	}
}

func TestItemDefaults(t *testing.T) {
	for _, c := range []struct{ name, bare, spelled string }{
		{"rule", withRule(`"path":"/a"`), withRule(`"path":"/a","session":"required","activity":"active"`)},
		{"feed", withTop(`"revoke":{"feed":{"cluster":"a","path":"/r"}}`), withTop(`"revoke":{"feed":{"cluster":"a","path":"/r","authority":"a","interval":"10s","on_stale":"allow","stale_after":"5m"}}`)},
		{"start_on", withLogin(`"url":"/login","start_on":[{"path":"/in"}]`), withLogin(`"url":"/login","start_on":[{"path":"/in","method":"POST"}]`)},
	} {
		a, err := Parse(c.bare, oneKey.get)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Parse(c.spelled, oneKey.get)
		if diff := cmp.Diff(a, b, compareConfigs); err != nil || diff != "" {
			t.Errorf("%s: %v %s", c.name, err, diff)
		}
	}
}

func TestSchemaFieldsAreDescribed(t *testing.T) {
	for _, f := range schemaFields(t) {
		if !f.own {
			continue
		}
		title, _ := f.schema["title"].(string)
		description, _ := f.schema["description"].(string)
		if title == "" || description == "" || strings.Contains(title+description, "\n") {
			t.Errorf("%s needs a title and a description of one line", f.path)
		}
		if value, ok := f.schema["default"].(string); ok && value != "" && !strings.Contains(description, "Default: "+value) {
			t.Errorf("%s: its description does not name its default %q: %s", f.path, value, description)
		}
	}
}

// docs/config.md has a section for each object, named by its path, with a row for each field.
func TestDocsNameEveryField(t *testing.T) {
	text, err := os.ReadFile("../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{} // by section and field
	section := ""
	for line := range strings.Lines(string(text)) {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			section = strings.Trim(strings.TrimSpace(heading), "`")
		} else if row, ok := strings.CutPrefix(line, "| `"); ok {
			name, _, _ := strings.Cut(row, "`")
			rows[section+" "+name] = line
		}
	}
	for _, f := range schemaFields(t) {
		if !f.own {
			continue
		}
		in := strings.ReplaceAll(f.in, "[0]", "[]")
		if in == "" {
			in = "Top level"
		}
		row, ok := rows[in+" "+f.name]
		if !ok {
			t.Errorf("docs/config.md has no row for %s in section %q", f.name, in)
			continue
		}
		if value, ok := f.schema["default"].(string); ok && value != "" && !strings.Contains(row, "| `"+value+"`") {
			t.Errorf("docs/config.md: %s %s: the default is %q, but the row is %s", in, f.name, value, row)
		}
		delete(rows, in+" "+f.name)
	}
	for left := range rows {
		t.Errorf("docs/config.md has a row for %s, which is no field", left)
	}
}

// codeBlocks are the texts between fences of a language in docs/config.md.
func codeBlocks(t testing.TB, language string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile("../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(string(text), "```"+language+"\n")[1:] {
		block, _, _ := strings.Cut(part, "```")
		blocks = append(blocks, block)
	}
	if len(blocks) == 0 {
		t.Fatalf("docs/config.md has no %s", language)
	}
	return blocks
}

func TestDocsConfigsWork(t *testing.T) {
	env := func(string) string { return secretA }
	for _, text := range codeBlocks(t, "json") {
		if _, err := Parse(text, env); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if err := schemaCheck(t, text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestDocsErrorsAreReal(t *testing.T) {
	real := map[string]bool{}
	for _, c := range badConfigs {
		if _, err := Parse(c.json, c.env.get); err != nil {
			real[err.Error()] = true
		}
	}
	for _, line := range strings.Split(strings.TrimSpace(codeBlocks(t, "text")[0]), "\n") {
		if !real[line] {
			t.Errorf("docs/config.md shows an error that no bad config gives: %s", line)
		}
	}
}

// Strings put together at random from the pieces that matter: the parser takes one just where the
// schema does. Times and durations stand here without their bounds.
func TestSchemaPatternsAreTheParsers(t *testing.T) {
	target := func(s string) bool { _, _, ok := parseTarget(s, true); return ok }
	year := func(s string) bool { _, ok := parseTime(s); return ok && s[:4] > "1970" }
	path := "/ / / a b . .. % %2 %2f %2e %41 %7f %c3%a9 %c1 %e0 %e0%a0 %e0%9f %f0 %f0%8f %f0%90 %f4 %f5 %ED %3b %23 %5C %3F ; # ? * \\ \" < { é ~ "
	for _, c := range []struct {
		name, pointer, pieces string
		parser                func(string) bool
	}{
		{"path", "/$defs/path", path, validPlain},
		{"url", "/$defs/url", path + "https:// http:// a.example :443 :0 :65535 :65536 :080 a@b =1& //", target},
		{"host", "/$defs/host", "a b 0 - . A é _ : example", validHost},
		{"method", "/$defs/method", "GET P get - _ / ( ! é", validMethod},
		{"param", "/$defs/param", "a Z 9 _ - . .. / é next", validParam},
		{"cookie name", "/properties/cookie/properties/name", "__Host- __host- __Secure- __SECURE- a ; = , é ! ( \" _ -", validCookieName},
		{"header name", "/properties/headers/propertyNames", "x - _ session reason error activity host cookie content length te envoy X : ( é ! forwarded for", validHeaderName},
		{"document path", "/properties/headers/additionalProperties", "@this data . .. id a b subject revision # | é", validDocumentPath},
		{"wrapped name", "/properties/wrap/items", "sessionid A 9 _ - . ! ' % $ ~ [ / ; = , é ( \" " + strings.Repeat("x", 60), validWrapName},
		{"visible", "/properties/revoke/properties/feed/properties/cluster", "a | . \x00 \x7f é ~ !", visible},
		{"variable", "/$defs/variable", "A z 0 _ - . $ é", validEnv},
		{"time", "/$defs/time", "2026 1970 1971 2100 2000 1996 -02 -11 -13 -29 -30 -31 -00 T08 T24 :00 :59 :60 :61 .5 . ,5 Z z +23:59 -24:00 +01:60", year},
	} {
		schema, err := compilePart(c.pointer)
		if err != nil {
			t.Fatal(err)
		}
		pieces := append(strings.Fields(c.pieces), "")
		random := rand.New(rand.NewPCG(1, 2))
		accepted := 0
		for range 20_000 {
			s, rest, most := "", pieces, 6
			if c.name == "time" { // at random it would hardly ever be one
				for _, part := range [][]string{pieces[:6], pieces[6:9], pieces[9:13], pieces[13:15], pieces[15:17], pieces[15:19]} {
					s += pick(random, part)
				}
				rest, most = pieces[19:], 3
			}
			for range random.IntN(most) {
				s += pick(random, rest)
			}
			ok := c.parser(s)
			if err := schema.Validate(s); ok != (err == nil) {
				t.Fatalf("%s %q: the parser says %v, the schema %v", c.name, s, ok, err)
			}
			if ok {
				accepted++
			}
		}
		if accepted < 50 {
			t.Errorf("%s: only %d strings were good ones", c.name, accepted)
		}
	}
}

func pick(r *rand.Rand, list []string) string { return list[r.IntN(len(list))] }

// validWrapName is what Parse says of a wrapped cookie's name.
func validWrapName(name string) bool {
	quoted, _ := json.Marshal(name)
	_, err := Parse(withWrap("["+string(quoted)+"]"), oneKey.get)
	return err == nil
}

// validCookieName is what Parse says of a cookie's name, prefix or none.
func validCookieName(name string) bool {
	quoted, _ := json.Marshal(name)
	_, err := Parse(withInsecure(`"cookie":{"name":`+string(quoted)+`}`), oneKey.get)
	return err == nil
}
