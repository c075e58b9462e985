package main

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/tidwall/gjson"
	"go.yaml.in/yaml/v3"
	k8s "sigs.k8s.io/yaml"

	"github.com/curfew-proxy/curfew/policy"
)

// converter makes JSON of a config that is written as YAML, as the control plane does on its way to the filter,
// and notes where that is not what the YAML looks like.
type converter struct {
	file   string
	kind   kind
	typed  bool // the file is JSON: a text there is a text
	places map[string]place
	traps  []finding
	values int
	depth  int
}

// Bounds on a config, for anchors can make more of few lines than there is memory, and one that holds itself has
// no end. The parser takes 16 levels, and 1 MiB.
const (
	maxValues = 1 << 17
	maxDepth  = 32
)

func (c *converter) value(n *yaml.Node, path string) string {
	c.values++
	c.depth++
	defer func() { c.depth-- }()
	if c.values > maxValues || c.depth > maxDepth {
		return "null"
	}
	if n.Kind == yaml.AliasNode {
		return c.value(n.Alias, path)
	}
	if _, there := c.places[path]; !there && path != "" {
		c.places[path] = placeOf(n)
	}
	switch n.Kind {
	case yaml.MappingNode:
		return c.mapping(n, path)
	case yaml.SequenceNode:
		list := make([]string, len(n.Content))
		for i, item := range n.Content {
			list[i] = c.value(item, path+"["+strconv.Itoa(i)+"]")
		}
		return "[" + strings.Join(list, ",") + "]"
	}
	return c.scalar(n, path)
}

func (c *converter) mapping(n *yaml.Node, path string) string {
	var names []string
	fields := map[string]string{}
	set := func(name, value string) {
		if _, twice := fields[name]; !twice {
			names = append(names, name)
		}
		fields[name] = value
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Tag == "!!merge" && c.kind != envoy {
			c.trap(key, below(path, "<<"), isError, "a merge key; write the fields out, for lint cannot tell you what becomes of it")
			continue
		}
		name := c.name(key, path)
		if _, twice := fields[name]; twice {
			c.trap(key, below(path, name), isError, "the field stands twice, and YAML keeps only one of them; remove the other")
		}
		c.places[below(path, name)] = placeOf(key)
		set(name, c.value(value, below(path, name)))
	}
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = quote(name) + ":" + fields[name]
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// name is what becomes of a key.
func (c *converter) name(key *yaml.Node, path string) string {
	if c.isText(key) || c.kind == envoy {
		return key.Value
	}
	became := map[string]any{}
	if err := k8s.Unmarshal([]byte(key.Value+": 0"), &became); err != nil {
		return key.Value
	}
	for name := range became {
		if name != key.Value {
			c.trap(key, below(path, key.Value), isError, "YAML makes this name "+quote(name)+"; put it in quotes: "+quote(key.Value))
		}
		return name
	}
	return key.Value
}

// isText reports whether a scalar is a string whatever it looks like.
func (c *converter) isText(n *yaml.Node) bool {
	const quoted = yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	return n.Style&quoted != 0 || n.Style&yaml.TaggedStyle != 0 && n.Tag == "!!str"
}

func (c *converter) scalar(n *yaml.Node, path string) string {
	if c.isText(n) {
		return quote(n.Value)
	}
	var became string
	switch {
	case c.typed:
		became = n.Value
	case c.kind == envoy:
		became = envoyScalar(n.Value)
	default:
		became = kubernetesScalar(n.Value)
	}
	if c.kind != gateway {
		became = asDouble(became)
	}
	if became != n.Value && became != quote(n.Value) {
		c.changed(n, path, became)
	} else if c.kind == envoy && became[0] == '"' && gjson.Valid(n.Value) && (strings.Contains(path, ".require.") || strings.Contains(path, ".when.")) {
		// Elsewhere the config has no numbers.
		c.trap(n, path, isError, n.Value+": is a text to Envoy, which takes only whole numbers of 32 bits from YAML; write `value: |` and JSON below it, with type StringValue")
	} else if n.Tag == "!!timestamp" && !c.typed {
		c.trap(n, path, isWarning, n.Value+": is a timestamp to YAML: tools on its way may write it in another form; put it in quotes")
	}
	return became
}

// changed notes that a scalar became something else.
func (c *converter) changed(n *yaml.Node, path, became string) {
	value, quoted := n.Value, quote(n.Value)
	if isSecret(path) {
		value, quoted, became = "(hidden)", "\"...\"", "something else"
	}
	switch digits := strings.Trim(n.Value, "0123456789") == "" && !strings.HasPrefix(n.Value, "0"); {
	case became == "null":
		c.trap(n, path, isError, value+": is nothing (null) to YAML; give a value, or leave the field out")
	case (became == "true" || became == "false") && isBoolean(path):
		c.trap(n, path, isWarning, value+": YAML makes it "+became+", and not every tool on its way does; write "+became)
	case c.typed || digits:
		c.trap(n, path, isError, value+": becomes "+became+", for "+c.kind.String()+" keeps whole numbers to 2^53 only; make it a string, in the app's data too")
	default:
		c.trap(n, path, isError, value+": YAML makes it "+became+"; put it in quotes: "+quoted)
	}
}

// isBoolean reports whether the config's schema has a boolean of the field's name.
func isBoolean(field string) bool {
	last := field[strings.LastIndexByte(field, '.')+1:]
	return slices.Contains(schemaBooleans(), last)
}

var schemaBooleans = sync.OnceValue(func() []string { return booleans(gjson.Parse(policy.Schema)) })

// booleans are the names of all boolean properties in a JSON Schema.
func booleans(v gjson.Result) (names []string) {
	v.ForEach(func(key, value gjson.Result) bool {
		if value.Get("type").Str == "boolean" {
			names = append(names, key.Str)
		}
		if value.IsObject() {
			names = append(names, booleans(value)...)
		}
		return true
	})
	return names
}

func (c *converter) trap(n *yaml.Node, field string, s severity, message string) {
	c.traps = append(c.traps, finding{c.file, placeOf(n), s, field, message})
}

// kubernetesScalar is the JSON of a plain scalar by the library with which kubectl, the API server and istiod read
// YAML.
func kubernetesScalar(s string) string {
	b, err := k8s.YAMLToJSON([]byte(s))
	if err != nil {
		return quote(s)
	}
	return strings.TrimSpace(string(b))
}

var (
	envoyTrue  = []string{"y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"}
	envoyFalse = []string{"n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"}
	envoyNull  = []string{"", "~", "null", "Null", "NULL"}
)

// envoyScalar is the JSON of a plain scalar as Envoy reads it, to 1.40 at least: yaml-cpp's conversions to a
// boolean and to an integer (parseYamlNode in source/common/protobuf/yaml_utility.cc). Integers of more than 32 bits
// and all fractions become strings.
func envoyScalar(s string) string {
	switch {
	case slices.Contains(envoyNull, s):
		return "null"
	case slices.Contains(envoyTrue, s):
		return "true"
	case slices.Contains(envoyFalse, s):
		return "false"
	}
	if n, err := strconv.ParseInt(s, 0, 64); err == nil && !strings.ContainsAny(s, "_oObB") {
		if n < math.MinInt32 || n > math.MaxInt32 {
			return quote(strconv.FormatInt(n, 10))
		}
		return strconv.FormatInt(n, 10)
	}
	return quote(s)
}

// asDouble is what a number becomes in a google.protobuf.Struct, which has doubles only.
func asDouble(text string) string {
	if f, err := strconv.ParseFloat(text, 64); err == nil && text[0] != '"' {
		return number(f)
	}
	return text
}

func number(f float64) string {
	b, err := json.Marshal(f)
	if err != nil {
		return "null"
	}
	return string(b)
}

func quote(s string) string {
	b, _ := json.Marshal(s) // a string cannot fail
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(b))
}

// isSecret reports whether what stands at a field could be a secret, in its place or by mistake.
func isSecret(field string) bool {
	last := field[strings.LastIndexByte(field, '.')+1:]
	return strings.HasPrefix(last, "secret") || strings.HasPrefix(field, "keys") && !slices.Contains([]string{"id", "sign_from", "verify_until"}, last) ||
		strings.HasPrefix(field, "django_messages") && last != "text"
}
