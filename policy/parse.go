package policy

import (
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// ConfigError says what is wrong in a filter JSON: which field, with what value, against which rule.
type ConfigError struct{ Field, Value, Rule string }

// Error puts it in one line.
func (e *ConfigError) Error() string {
	s := e.Field
	if e.Value != "" {
		s += ": " + e.Value
	}
	return s + ": " + e.Rule
}

// hidden stands for a value that is a secret.
const hidden = "(hidden)"

// parser remembers the first error, so that a reader of many fields checks once, at the end.
type parser struct{ err *ConfigError }

func (p *parser) fail(field, value, rule string) {
	if p.err != nil {
		return
	}
	p.err = &ConfigError{Field: oneLine(field, 400), Value: oneLine(value, 80), Rule: rule}
}

// oneLine shortens s to most bytes and shows control characters as question marks: errors go to logs
// and terminals.
func oneLine(s string, most int) string {
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// shown is a value as errors show it. What stands at `keys` or `django_messages` may be a secret in the wrong place, and
// an object or a list may hold one.
func shown(field string, v gjson.Result) string {
	last := field[strings.LastIndexByte(field, '.')+1:]
	switch {
	case !v.Exists():
		return ""
	case v.IsObject():
		return "{...}"
	case v.IsArray():
		return "[...]"
	case field == "config", // in quotes, it may be a whole one
		strings.HasPrefix(field, "keys") && !contains([]string{"id", "sign_from", "verify_until"}, last),
		strings.HasPrefix(field, "revoke.feed.secret"),
		strings.HasPrefix(field, "django_messages") && last != "text":
		return hidden
	}
	return v.Raw
}

// object is a JSON object of the config, by field.
type object struct {
	p      *parser
	path   string
	there  bool
	names  []string // in the order of the text
	fields map[string]gjson.Result
}

// object reads v as an object. Of known names, others are refused; with none known, any is taken.
func (p *parser) object(path string, v gjson.Result, known ...string) *object {
	o := &object{p: p, path: path, there: v.Exists(), fields: map[string]gjson.Result{}}
	if v.Exists() && !v.IsObject() {
		p.fail(o.at(""), shown(o.at(""), v), "must be a JSON object")
		return o
	}
	v.ForEach(func(key, value gjson.Result) bool {
		name := key.Str
		if len(known) > 0 && !contains(known, name) {
			p.fail(o.at(name), "", "unknown field; known here: "+join(known))
		}
		if _, twice := o.fields[name]; twice {
			p.fail(o.at(name), shown(o.at(name), value), "the field stands twice; keep one")
		}
		o.fields[name] = value
		o.names = append(o.names, name)
		return p.err == nil
	})
	return o
}

// at is the path of a field, as errors name it.
func (o *object) at(name string) string {
	switch {
	case o.path == "" && name == "":
		return "config"
	case o.path == "":
		return name
	case name == "":
		return o.path
	}
	return o.path + "." + name
}

func (o *object) fail(name, rule string) {
	o.p.fail(o.at(name), shown(o.at(name), o.fields[name]), rule)
}

func (o *object) has(name string) bool { return o.fields[name].Exists() }

func (o *object) child(name string, known ...string) *object {
	return o.p.object(o.at(name), o.fields[name], known...)
}

func (o *object) text(name, otherwise string) string {
	v := o.fields[name]
	if !v.Exists() {
		return otherwise
	}
	if v.Type != gjson.String {
		o.fail(name, "must be a string, in quotes")
	}
	return v.Str
}

func (o *object) flag(name string, otherwise bool) bool {
	v := o.fields[name]
	if !v.Exists() {
		return otherwise
	}
	if v.Type != gjson.True && v.Type != gjson.False {
		o.fail(name, "must be true or false")
	}
	return v.Type == gjson.True
}

func (o *object) choice(name string, options ...string) string {
	s := o.text(name, options[0])
	if !contains(options, s) {
		o.fail(name, "must be one of "+join(options))
	}
	return s
}

// seconds reads a duration between least and most.
func (o *object) seconds(name string, otherwise, least, most int64) int64 {
	if !o.has(name) {
		return otherwise
	}
	n, ok := parseDuration(o.text(name, ""))
	switch {
	case !ok:
		o.fail(name, "must be a duration in h, m and s such as 15m or 1h30m (GEP-2257)")
	case n < least || n > most:
		o.fail(name, "must be from "+strconv.FormatInt(least, 10)+"s to "+strconv.FormatInt(most/3600, 10)+"h")
	}
	return n
}

// time reads an RFC 3339 time as Unix seconds; absent is 0.
func (o *object) time(name string) int64 {
	if !o.has(name) {
		return 0
	}
	return o.p.time(o.at(name), o.fields[name])
}

func (p *parser) time(field string, v gjson.Result) int64 {
	if v.Type != gjson.String {
		p.fail(field, shown(field, v), "must be a string, in quotes")
	}
	unix, ok := parseWhen(v)
	if !ok {
		p.fail(field, shown(field, v), "must be a time after 1970 such as 2026-11-20T08:00:00Z (RFC 3339)")
	}
	return unix
}

// parseWhen reads an RFC 3339 time after 1970, which alone can be meant. (What is no string is none to it.)
func parseWhen(v gjson.Result) (unix int64, ok bool) {
	unix, ok = parseTime(v.Str)
	return unix, ok && v.Str[:4] > "1970"
}

// list reads an array and calls each with every item and its path.
func (o *object) list(name string, each func(path string, v gjson.Result)) {
	v := o.fields[name]
	if !v.Exists() {
		return
	}
	if !v.IsArray() {
		o.fail(name, "must be a list, in [ ]")
		return
	}
	i := 0
	v.ForEach(func(_, item gjson.Result) bool {
		each(o.at(name)+"["+strconv.Itoa(i)+"]", item)
		i++
		return o.p.err == nil
	})
}

// texts reads a list of strings of which each must be valid, and none may be missing where the
// list is there.
func (o *object) texts(name string, valid func(string) bool, rule string) (out []string) {
	o.list(name, func(path string, v gjson.Result) {
		if v.Type != gjson.String || !valid(v.Str) {
			o.p.fail(path, shown(path, v), rule)
		}
		out = append(out, v.Str)
	})
	if o.has(name) && len(out) == 0 {
		o.fail(name, "must not be empty; leave it out for the default")
	}
	return out
}

func join(list []string) (s string) {
	for i, item := range list {
		if i > 0 {
			s += ", "
		}
		s += item
	}
	return s
}
