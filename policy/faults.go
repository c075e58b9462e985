package policy

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// unknownField begins the rule of such an error.
const unknownField = "unknown field"

// Faults is Parse for people who want to mend all at once: what is wrong with single fields, one error each, as
// far as each can be looked at without those before it; where nothing is, the first of what does not fit
// together. Empty: Parse takes the config.
func Faults(text string, env func(string) string) (faults []*ConfigError) {
	spent := map[string]bool{}
	for {
		_, err := Parse(text, env)
		e, ok := err.(*ConfigError)
		if !ok || len(faults) > 0 && !ofOneField(text, env) {
			return faults // what was cut out may be what others do not fit now
		}
		follows := spent[e.Field] || couldFollow(e, faults)
		if !follows {
			faults = append(faults, e)
		}
		spent[e.Field] = true
		rest, cut := cutField(text, e.Field)
		if follows || !cut {
			// What is beside it has been looked at, as far as can be.
			whole := topOf(e.Field)
			if rest, cut = cutField(text, whole); whole == "keys" {
				rest = withGoodKeys(rest)
				cut = cut && !spent["keys, all"]
				spent["keys, all"] = true
			}
		}
		if !cut {
			return faults
		}
		text = rest
	}
}

// topOf is the name of the top-level field that a field is in.
func topOf(field string) string {
	return field[:len(field)-len(strings.TrimLeft(field, "abcdefghijklmnopqrstuvwxyz_"))]
}

// couldFollow reports whether something may be missing because what is wrong with a fault beside it, or in it, was cut out.
func couldFollow(e *ConfigError, faults []*ConfigError) bool {
	return e.Value == "" && !strings.HasPrefix(e.Rule, unknownField) && slices.ContainsFunc(faults, func(f *ConfigError) bool {
		return strings.HasPrefix(f.Field, e.Field+".") || parent(f.Field) == parent(e.Field)
	})
}

func parent(field string) string { return field[:max(strings.LastIndexByte(field, '.'), 0)] }

// withGoodKeys puts keys that are well into a JSON object without any, which no config can be.
func withGoodKeys(text string) string {
	sum := sha256.Sum256([]byte("a key of nobody's, which signs nothing"))
	rest := trim(trim(text)[1:])
	if rest != "}" {
		rest = "," + rest
	}
	return `{"keys":[{"id":"a","secret":"` + base64.StdEncoding.EncodeToString(sum[:]) + `"}]` + rest
}

// ofOneField reports whether what Parse refuses in the text is wrong whatever the other fields are.
func ofOneField(text string, env func(string) string) bool {
	p := &parser{}
	p.config(gjson.Parse(text), env)
	return p.err != nil
}

// cutField takes an object's field, as errors name it, out of a JSON text. (Not an item of a list: those
// behind it would get other names.)
func cutField(text, field string) (rest string, ok bool) {
	if !gjson.Valid(text) {
		return text, false
	}
	from, to := fieldSpan(text, gjson.Parse(text), "", field)
	if from < 0 {
		return text, false
	}
	return text[:from] + text[to:], true
}

// fieldSpan is where in the text a field of v stands, with one comma beside it; from is -1 where there is none.
func fieldSpan(text string, v gjson.Result, path, field string) (from, to int) {
	from, end, i := -1, -1, 0
	v.ForEach(func(key, value gjson.Result) bool {
		name := path + "[" + strconv.Itoa(i) + "]"
		if v.IsObject() {
			if name = key.Str; path != "" {
				name = path + "." + key.Str
			}
		}
		i++
		switch {
		case name == field && v.IsObject() && end < 0:
			from, to = key.Index, skipComma(text, value.Index+len(value.Raw))
		case name == field && v.IsObject():
			from, to = end, value.Index+len(value.Raw)
		case value.IsObject() || value.IsArray():
			from, to = fieldSpan(text, value, name, field)
		}
		end = value.Index + len(value.Raw)
		return from < 0
	})
	return from, to
}

// skipComma moves over white space and a comma, if that is what follows.
func skipComma(text string, at int) int {
	next := at
	for next < len(text) && blank(text[next]) {
		next++
	}
	if next < len(text) && text[next] == ',' {
		return next + 1
	}
	return at
}
