package policy

import (
	"strings"

	"github.com/tidwall/gjson"

	"github.com/curfew-proxy/curfew/cookie"
)

// Need says what a rule wants of a session.
type Need uint8

// Off is a Reason already, hence the longer names.
const (
	SessionRequired Need = iota
	SessionOptional
	SessionOff
)

// Rule is one entry of the config's `rules`. Durations are seconds; 0 means the config's own.
type Rule struct {
	Path, PathPrefix string
	Hosts, Methods   []string
	Need             Need
	Passive          bool
	Idle, Absolute   int64
	MaxAuthAge       int64
	// When narrows the rule to sessions whose data match; Require refuses those whose data do not.
	When, Require []Condition
}

// Condition holds if the session's value at Path is one of Values, or is a list with one of them.
type Condition struct {
	Path   string   // gjson, below `data.`
	Values []string // JSON texts of scalars
}

// matches looks at everything but When. path is plain.
func (u *Rule) matches(r *Request, path string) bool {
	switch {
	case u.Path != "" && path != u.Path:
		return false
	case u.PathPrefix != "" && !underPrefix(path, u.PathPrefix):
		return false
	}
	return (len(u.Methods) == 0 || contains(u.Methods, r.Method)) &&
		(len(u.Hosts) == 0 || contains(u.Hosts, host(r.Authority)))
}

// covers reports whether every request that b is for is one that u, which asks no session, is for.
func (u *Rule) covers(b *Rule) bool {
	path := b.Path + b.PathPrefix
	switch {
	case len(u.When) > 0 || u.Path != "" && u.Path != b.Path:
		return false
	case u.PathPrefix != "" && !underPrefix(path, u.PathPrefix):
		return false
	}
	return containsAll(u.Methods, b.Methods) && containsAll(u.Hosts, b.Hosts)
}

// containsAll: an empty list stands for any.
func containsAll(list, of []string) bool {
	if len(list) == 0 {
		return true
	}
	for _, item := range of {
		if !contains(list, item) {
			return false
		}
	}
	return len(of) > 0
}

// host is the authority's host in lower case: ports and a root dot name no other site.
func host(authority string) string {
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		authority = authority[:i]
	}
	return lower(strings.TrimSuffix(authority, "."))
}

// plainHost reports whether an authority names its host as a rule would, but for case, port and root
// dot. Where hosts decide, an odd one must not slip past the rule for the host it may become.
func plainHost(authority string) bool { return validHost(host(authority)) }

// rule returns the first rule that matches without asking the session, and how many stand before
// it: those of them with a `when` can still narrow it.
func (c *Config) rule(r *Request, path string) (base *Rule, before int) {
	for i := range c.Rules {
		if u := &c.Rules[i]; len(u.When) == 0 && u.matches(r, path) {
			return u, i
		}
	}
	return &c.fallback, len(c.Rules)
}

// narrow applies every rule with a `when` that the session meets. Data is what an app once wrote, so
// such a rule may only take away: the strictest of all holds in every respect. Were it the first alone,
// a mild one put before a strict one would switch that off.
func (c *Config) narrow(base *Rule, before int, r *Request, path string, s *cookie.Session) Rule {
	held := *base
	for i := range c.Rules[:before] {
		u := &c.Rules[i]
		if len(u.When) > 0 && u.matches(r, path) && met(u.When, s.Data) {
			held = stricter(&held, u)
		}
	}
	return held
}

// stricter combines two rules into one that allows what both allow.
func stricter(a, b *Rule) Rule {
	out := *a
	out.Need = min(a.Need, b.Need)
	out.Passive = a.Passive || b.Passive
	out.Idle = shorter(a.Idle, b.Idle)
	out.Absolute = shorter(a.Absolute, b.Absolute)
	out.MaxAuthAge = shorter(a.MaxAuthAge, b.MaxAuthAge)
	if len(b.Require) > 0 {
		out.Require = append(append([]Condition(nil), a.Require...), b.Require...)
	}
	return out
}

// shorter returns the lesser of two durations, or the sooner of two times, of which 0 means none.
func shorter(a, b int64) int64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// met reports whether the data meets all conditions.
func met(conditions []Condition, data string) bool {
	for _, cond := range conditions {
		if !cond.holds(gjson.Get(data, cond.Path)) {
			return false
		}
	}
	return true
}

func (cond *Condition) holds(v gjson.Result) bool {
	if !v.IsArray() {
		return cond.names(v)
	}
	found := false
	v.ForEach(func(_, item gjson.Result) bool {
		found = cond.names(item)
		return !found
	})
	return found
}

func (cond *Condition) names(v gjson.Result) bool {
	for _, want := range cond.Values {
		if same(v, gjson.Parse(want)) {
			return true
		}
	}
	return false
}

// same compares two scalars of JSON. Beyond 2^53 numbers are told apart by their digits only.
func same(a, b gjson.Result) bool {
	const exact = 1 << 53
	switch {
	case a.Type != b.Type:
		return false
	case a.Type == gjson.String:
		return a.Str == b.Str
	case a.Type == gjson.Number && -exact < a.Num && a.Num < exact:
		return a.Num == b.Num
	}
	return a.Raw == b.Raw
}

func contains(list []string, s string) bool {
	for _, item := range list {
		if item == s {
			return true
		}
	}
	return false
}
