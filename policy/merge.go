package policy

import (
	"github.com/tidwall/gjson"
	"github.com/tidwall/pretty"
)

// merge applies a JSON merge patch to a JSON text (RFC 7396, section 2). What it writes has no spaces;
// members keep their order and their spelling, new ones come last.
func merge(target, patch string) string {
	return string(appendMerged(nil, gjson.Parse(target), gjson.Parse(compact(patch))))
}

func compact(json string) string { return string(pretty.Ugly([]byte(json))) }

func appendMerged(b []byte, target, patch gjson.Result) []byte {
	if !patch.IsObject() {
		return append(b, patch.Raw...)
	}
	changes := map[string]gjson.Result{}
	patch.ForEach(func(key, value gjson.Result) bool {
		changes[key.Str] = value
		return true
	})
	b = append(b, '{')
	empty := len(b)
	member := func(key, old, change gjson.Result) bool {
		if change.Type == gjson.Null {
			return true
		}
		if len(b) > empty {
			b = append(b, ',')
		}
		b = appendMerged(append(append(b, key.Raw...), ':'), old, change)
		return true
	}
	if target.IsObject() {
		target.ForEach(func(key, old gjson.Result) bool {
			change, ok := changes[key.Str]
			if !ok {
				if len(b) > empty {
					b = append(b, ',')
				}
				b = append(append(append(b, key.Raw...), ':'), old.Raw...)
				return true
			}
			delete(changes, key.Str)
			return member(key, old, change)
		})
	}
	patch.ForEach(func(key, _ gjson.Result) bool {
		change, ok := changes[key.Str]
		return !ok || member(key, gjson.Result{}, change)
	})
	return append(b, '}')
}
