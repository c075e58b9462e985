package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
	"go.yaml.in/yaml/v3"
)

// place is a line and a column in a file, from 1 on.
type place struct{ line, column int }

func placeOf(n *yaml.Node) place { return place{n.Line, n.Column} }

// plugin is a filter JSON found in a file, with what stands around it.
type plugin struct {
	file   string
	config string           // what the filter is handed
	at     place            // of the config
	places map[string]place // of its fields, named as the parser names them
	traps  []finding        // where the config is not what its YAML looks like
	kind   kind
	node   *yaml.Node   // what the proxy calls a plugin; nil around a bare filter JSON
	above  []*yaml.Node // the nodes that it lies in, the outermost first
}

// kind is what a plugin is described in.
type kind uint8

const (
	bare    kind = iota // the filter JSON alone
	envoy               // Envoy's own configuration
	istio               // WasmPlugin or TrafficExtension
	gateway             // EnvoyExtensionPolicy
)

// String is the kind's name for people.
func (k kind) String() string {
	return [...]string{"the filter JSON", "Envoy", "Istio", "Envoy Gateway"}[k]
}

// byteOrderMark is what some editors put in front of UTF-8.
var byteOrderMark = []byte("\xef\xbb\xbf")

// findPlugins returns every filter config in a file, ours and others', and the YAML documents that it has.
func findPlugins(file string, text []byte) ([]*plugin, []*yaml.Node, error) {
	text = bytes.TrimPrefix(text, byteOrderMark)
	documents, err := readDocuments(text)
	f := &finder{file: file, source: string(text)}
	for _, d := range documents {
		f.walk(d, nil)
	}
	if len(f.found) == 0 && looksBare(text, documents) {
		return []*plugin{f.bare()}, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	return f.found, documents, nil
}

func readDocuments(text []byte) (documents []*yaml.Node, err error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var d yaml.Node
		switch err := decoder.Decode(&d); {
		case errors.Is(err, io.EOF):
			return documents, nil
		case err != nil:
			return documents, err
		}
		documents = append(documents, d.Content...)
	}
}

// looksBare reports whether a file that has no plugin in it is the filter JSON itself, be it ill-formed.
func looksBare(text []byte, documents []*yaml.Node) bool {
	if !strings.HasPrefix(strings.TrimSpace(string(text)), "{") {
		return false
	}
	for _, d := range documents {
		for _, name := range []string{"apiVersion", "static_resources", "staticResources", "resources", "configs", "@type"} {
			if get(d, name) != nil {
				return false
			}
		}
	}
	return true
}

type finder struct {
	file, source string
	found        []*plugin
}

func (f *finder) bare() *plugin {
	p := &plugin{file: f.file, config: f.source, places: map[string]place{}}
	p.at = f.placesInText(p, f.source, place{1, 1})
	return p
}

// walk looks for plugins in n and below. What an anchor names stands where the anchor is.
func (f *finder) walk(n *yaml.Node, above []*yaml.Node) {
	f.look(n, above)
	above = append(slices.Clip(above), n)
	for _, child := range n.Content {
		f.walk(child, above)
	}
}

func (f *finder) look(n *yaml.Node, above []*yaml.Node) {
	spec := get(n, "spec")
	switch text(get(n, "kind")) {
	case "WasmPlugin":
		f.add(istio, spec, append(above, n), get(spec, "pluginConfig", "plugin_config"))
		return
	case "TrafficExtension":
		if wasm := get(spec, "wasm"); wasm != nil {
			f.add(istio, wasm, append(above, n, spec), get(wasm, "pluginConfig", "plugin_config"))
		}
		return
	case "EnvoyExtensionPolicy":
		for _, wasm := range items(get(spec, "wasm")) {
			f.add(gateway, wasm, append(above, n, spec), get(wasm, "config"))
		}
		return
	}
	if any := get(n, "configuration"); any != nil && (get(n, "vm_config", "vmConfig") != nil || strings.Contains(text(get(any, "@type")), "google.protobuf.")) {
		f.add(envoy, n, above, get(any, "value"))
	}
}

// add takes in a plugin whose config is at n.
func (f *finder) add(k kind, node *yaml.Node, above []*yaml.Node, n *yaml.Node) {
	if node == nil {
		return
	}
	p := &plugin{file: f.file, kind: k, node: node, above: slices.Clone(above), at: placeOf(node), places: map[string]place{}}
	f.found = append(f.found, p)
	if n = resolve(n); n == nil {
		return
	}
	p.at = placeOf(n)
	if k == envoy && n.Kind == yaml.ScalarNode {
		p.config = n.Value
		f.placesInText(p, n.Value, p.at)
		return
	}
	dialect := k
	if k == envoy && len(above) > 0 && get(above[0], "apiVersion") != nil {
		dialect = istio // an EnvoyFilter's patch
	}
	c := &converter{file: f.file, kind: dialect, places: p.places, typed: f.isJSON()}
	p.config = c.value(n, "")
	p.traps = c.traps
}

// isJSON: there, quotes and numbers mean what they say.
func (f *finder) isJSON() bool { return gjson.Valid(f.source) }

// placesInText notes where each field of a JSON text stands in the file, in which the text begins at start, as
// it is or as a YAML scalar of any style. It returns where the text begins.
func (f *finder) placesInText(p *plugin, config string, start place) place {
	offsets := jsonOffsets(config)
	at := align(f.source, start, config)
	for field, offset := range offsets {
		p.places[field] = at(offset)
	}
	return at(0)
}

// align returns a function from offsets in value to places in source, where value is a scalar that begins at
// start. The two differ in white space, and in what a quoted style escapes.
func align(source string, start place, value string) func(int) place {
	from := offsetOf(source, start)
	if rest := source[from:]; strings.HasPrefix(rest, "|") || strings.HasPrefix(rest, ">") {
		from += max(strings.IndexByte(rest, '\n'), 0)
	}
	offsets := make([]int, len(value)+1)
	for i, j := 0, from; i < len(value); {
		switch {
		case j == len(source):
			offsets[i] = j
			i++
		case value[i] == source[j]:
			offsets[i] = j
			i, j = i+1, j+1
		case isSpace(value[i]) && !isSpace(source[j]):
			offsets[i] = j
			i++
		default:
			j++
		}
	}
	return func(i int) place { return placeAt(source, offsets[min(max(i, 0), len(value))]) }
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

func offsetOf(source string, p place) (offset int) {
	for line := 1; line < p.line; line++ {
		next := strings.IndexByte(source[offset:], '\n')
		if next < 0 {
			return len(source)
		}
		offset += next + 1
	}
	return min(offset+p.column-1, len(source))
}

func placeAt(source string, offset int) place {
	before := source[:offset]
	return place{1 + strings.Count(before, "\n"), offset - strings.LastIndexByte(before, '\n')}
}

// jsonOffsets is where each field of a JSON text begins, by the name that the parser gives it; of one that
// stands twice, the last. In a text that is no JSON, config is where it ceases to be.
func jsonOffsets(config string) map[string]int {
	offsets := map[string]int{"config": len(config) - len(strings.TrimLeft(config, " \t\r\n"))}
	if at, _ := jsonFault(config); at >= 0 {
		offsets["config"] = at
		return offsets
	}
	addOffsets(offsets, gjson.Parse(config), "")
	return offsets
}

func addOffsets(offsets map[string]int, v gjson.Result, path string) {
	if !v.IsArray() && !v.IsObject() {
		return
	}
	i := 0
	v.ForEach(func(key, value gjson.Result) bool {
		name, at := below(path, key.Str), key.Index
		if v.IsArray() {
			name, at = path+"["+strconv.Itoa(i)+"]", value.Index
		}
		offsets[name] = at
		addOffsets(offsets, value, name)
		i++
		return true
	})
}

// below joins the names of fields as the parser does.
func below(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// placeOf is where a field stands, or else what it would stand in.
func (p *plugin) placeOf(field string) place {
	for field != "" {
		if at, ok := p.places[field]; ok {
			return at
		}
		field = field[:max(strings.LastIndexAny(field, ".["), 0)]
	}
	return p.at
}

// curfews reports whether the plugin is Curfew, by its config or by what it is called.
func (p *plugin) curfews() bool {
	if p.kind == bare {
		return true
	}
	if gjson.Valid(p.config) {
		v := gjson.Parse(p.config)
		if v.Get("keys").Exists() && v.Get("login").Exists() {
			return true
		}
	} else if strings.Contains(p.config, `"keys"`) && strings.Contains(p.config, `"login"`) {
		return true
	}
	return strings.Contains(strings.ToLower(p.called()), "curfew")
}

// called is all by which the plugin could be known: its own names and where its code is.
func (p *plugin) called() string {
	names := []*yaml.Node{get(p.node, "name"), get(p.node, "pluginName", "plugin_name"), get(p.node, "url"), get(p.vm(), "vm_id", "vmId")}
	all := codeOf(p.vm()) + " " + codeOf(p.node)
	for _, n := range names {
		all += " " + text(n)
	}
	return all
}

// codeOf is where a plugin's module comes from.
func codeOf(n *yaml.Node) (all string) {
	eachScalar(get(n, "code"), func(s *yaml.Node) { all += " " + s.Value })
	return all
}

// vm is the part about the VM: its id, code and environment.
func (p *plugin) vm() *yaml.Node { return get(p.node, "vm_config", "vmConfig") }

// get returns what a mapping has under one of the names (protobuf's JSON takes two spellings), or nil.
func get(n *yaml.Node, names ...string) *yaml.Node {
	n = resolve(n)
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if slices.Contains(names, n.Content[i].Value) {
			return resolve(n.Content[i+1])
		}
	}
	return nil
}

// items are those of a list.
func items(n *yaml.Node) (out []*yaml.Node) {
	if n = resolve(n); n != nil && n.Kind == yaml.SequenceNode {
		for _, item := range n.Content {
			out = append(out, resolve(item))
		}
	}
	return out
}

// resolve follows an alias.
func resolve(n *yaml.Node) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// text is that of a scalar, or "".
func text(n *yaml.Node) string {
	if n == nil || n.Kind != yaml.ScalarNode {
		return ""
	}
	return n.Value
}

// eachScalar calls do with each scalar in and below n, once: anchors can make more of few lines than there is memory.
func eachScalar(n *yaml.Node, do func(*yaml.Node)) {
	seen := map[*yaml.Node]bool{}
	var walk func(*yaml.Node)
	walk = func(n *yaml.Node) {
		if n = resolve(n); n == nil || seen[n] {
			return
		}
		seen[n] = true
		if n.Kind == yaml.ScalarNode {
			do(n)
		}
		for _, child := range n.Content {
			walk(child)
		}
	}
	walk(n)
}

// eachField calls do with each field in and below n, once, as eachScalar does.
func eachField(n *yaml.Node, do func(name string, value *yaml.Node)) {
	seen := map[*yaml.Node]bool{}
	var walk func(*yaml.Node)
	walk = func(n *yaml.Node) {
		if n = resolve(n); n == nil || seen[n] {
			return
		}
		seen[n] = true
		for i, child := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 1 {
				do(n.Content[i-1].Value, resolve(child))
			}
			walk(child)
		}
	}
	walk(n)
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// notYAML says where a file cannot be read.
func notYAML(file string, err error) finding {
	at := place{1, 1}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil && m[1] != "" {
		at.line, _ = strconv.Atoi(m[1])
	}
	what := yamlLine.ReplaceAllString(err.Error(), "")
	return finding{file, at, isError, "", fmt.Sprintf("the file is neither YAML nor JSON: %s; mend it there or just above", what)}
}
