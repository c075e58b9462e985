package main

import (
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/curfew-proxy/curfew/policy"
)

// guard looks for what makes a request that Curfew did not see a 403: in front of the filter its headers are removed,
// behind it one of them is demanded.
func (l *linter) guard(p *plugin, env func(string) string) {
	var mapped []string
	ours := []string{policy.ReasonHeader, "x-session-subject", policy.CommandHeader}
	if c, err := policy.Parse(p.config, env); err == nil {
		for _, h := range c.HeaderMap {
			mapped = append(mapped, strings.ToLower(h.Name))
		}
		ours = append(ours[:1], mapped...)
	}
	if p.kind != envoy {
		l.meshGuard(p, ours, mapped)
		return
	}
	before, after, chained := p.neighbours()
	if !chained {
		return
	}
	var demanded, removed []string
	for _, f := range after {
		demanded = union(demanded, rbacDemands(f, ours))
	}
	for _, f := range before {
		removed = union(removed, removedIn(f, ours))
	}
	if len(demanded) == 0 {
		l.sayAt(p, isWarning, nil, "http_filters", "no guard follows: were the filter skipped, everybody would get in; add an RBAC filter behind it whose `rules`, of action ALLOW, let nobody in without one of its headers ("+
			strings.Join(ours, ", ")+"), as in envoy.yaml")
	}
	l.forged(p, "http_filters", union(mapped, demanded), removed, "the request_mutations of a header_mutation filter before it, as in envoy.yaml")
}

// forged says which headers a client could send past a filter that was skipped.
func (l *linter) forged(p *plugin, field string, names, removed []string, where string) {
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(removed, name) })
	if len(names) > 0 {
		l.sayAt(p, isWarning, nil, field, strings.Join(names, ", ")+": were the filter skipped, what a client sends under this name would be believed; remove it from requests by "+where)
	}
}

// meshGuard looks for both halves in all the files.
func (l *linter) meshGuard(p *plugin, ours, mapped []string) {
	want, where := "SecurityPolicy here", "earlyRequestHeaders.remove of a ClientTrafficPolicy"
	if p.kind == istio {
		want, where = "AuthorizationPolicy here, in the plugin's namespace or istio-system,", "an EnvoyFilter or a TrafficExtension of its namespace, or of istio-system"
	}
	var demanded, weakly, removed []string
	for _, r := range l.resources() {
		spec := get(r, "spec")
		switch kind := text(get(r, "kind")); {
		case !p.reachedBy(r):
		case p.kind == istio && kind == "AuthorizationPolicy":
			demanded = union(demanded, denyDemands(spec, ours))
			weakly = union(weakly, allowDemands(spec, ours))
		case p.kind == gateway && kind == "SecurityPolicy":
			demanded = union(demanded, securityDemands(spec, ours))
		case p.kind == istio && (kind == "EnvoyFilter" || kind == "TrafficExtension"), p.kind == gateway && kind == "ClientTrafficPolicy":
			removed = union(removed, removedIn(spec, ours))
		}
	}
	switch {
	case len(demanded) > 0:
	case len(weakly) > 0:
		l.sayAt(p, isWarning, nil, "spec", "the guard is an AuthorizationPolicy of action ALLOW, which one more ALLOW policy of somebody else would open; make it DENY, with notValues: [\"*\"], as in deploy/")
	default:
		l.sayAt(p, isWarning, nil, "spec", "no "+want+" demands a header of the filter's ("+strings.Join(ours, ", ")+"): were the filter skipped, everybody would get in; "+
			"add one, as in deploy/, or name its file to lint as well")
	}
	l.forged(p, "spec", union(union(mapped, demanded), weakly), removed, where+", as in deploy/, or name its file to lint as well")
}

// resources are those of all files, and of Lists in them.
func (l *linter) resources() (all []*yaml.Node) {
	for _, d := range l.documents {
		all = append(append(all, d), items(get(d, "items"))...)
	}
	return all
}

// reachedBy reports whether a resource of Istio's, in the namespace where it is, can be about the plugin's proxies. Where
// no namespace stands, kubectl gives one.
func (p *plugin) reachedBy(r *yaml.Node) bool {
	at, own := text(get(get(r, "metadata"), "namespace")), ""
	for _, n := range p.above {
		if metadata := get(n, "metadata"); metadata != nil {
			own = text(get(metadata, "namespace"))
		}
	}
	return p.kind != istio || at == "" || own == "" || at == own || at == "istio-system"
}

// denyDemands are the names of which a DENY policy lets nobody in without one. One more condition in a rule would let
// in those who do not meet it.
func denyDemands(spec *yaml.Node, names []string) (found []string) {
	if text(get(spec, "action")) != "DENY" {
		return nil
	}
	for _, rule := range items(get(spec, "rules")) {
		when := items(get(rule, "when"))
		all := demandedIn(when, "notValues", names)
		if len(all) == len(when) && get(rule, "from") == nil && !slices.ContainsFunc(when, func(n *yaml.Node) bool { return get(n, "values") != nil }) {
			found = union(found, all)
		}
	}
	return found
}

// allowDemands are the names of which an ALLOW policy wants one in each of its rules, any of which lets in.
func allowDemands(spec *yaml.Node, names []string) (found []string) {
	if action := text(get(spec, "action")); action != "" && action != "ALLOW" {
		return nil
	}
	for _, rule := range items(get(spec, "rules")) {
		any := demandedIn(items(get(rule, "when")), "values", names)
		if len(any) == 0 {
			return nil
		}
		found = union(found, any)
	}
	return found
}

// demandedIn are those names of which a condition wants a header of any value, or of none.
func demandedIn(when []*yaml.Node, field string, names []string) (found []string) {
	for _, n := range when {
		key := strings.ToLower(text(get(n, "key")))
		any := slices.ContainsFunc(items(get(n, field)), func(v *yaml.Node) bool { return text(v) == "*" })
		for _, name := range names {
			if any && key == "request.headers["+name+"]" {
				found = union(found, []string{name})
			}
		}
	}
	return found
}

// securityDemands are the names of which a SecurityPolicy's rules, each of which lets in, name one each.
func securityDemands(spec *yaml.Node, names []string) (found []string) {
	authorization := get(spec, "authorization")
	if text(get(authorization, "defaultAction")) == "Allow" {
		return nil
	}
	for _, rule := range items(get(authorization, "rules")) {
		if text(get(rule, "action")) != "Allow" {
			continue
		}
		var any []string
		eachField(rule, func(field string, v *yaml.Node) {
			for _, name := range names {
				if field != "name" && strings.Contains(text(v), name) || field == "name" && strings.ToLower(text(v)) == name {
					any = union(any, []string{name})
				}
			}
		})
		if any == nil {
			return nil
		}
		found = union(found, any)
	}
	return found
}

// rbacDemands are the names of which an RBAC filter lets nobody in without one. Each policy lets in whom any of its
// principals is, and any of its permissions allows.
func rbacDemands(filter *yaml.Node, names []string) (found []string) {
	config := get(filter, "typed_config", "typedConfig")
	rules := get(config, "rules")
	action := text(get(rules, "action"))
	if !strings.Contains(text(get(config, "@type")), ".rbac.") || action != "" && action != "ALLOW" || text(get(filter, "disabled")) == "true" {
		return nil
	}
	m := &matchers{names, map[*yaml.Node][]string{}}
	policies := get(rules, "policies")
	for i := 1; policies != nil && i < len(policies.Content); i += 2 {
		demanded := m.each(items(get(policies.Content[i], "principals")))
		if demanded == nil {
			demanded = m.each(items(get(policies.Content[i], "permissions")))
		}
		if demanded == nil {
			return nil
		}
		found = union(found, demanded)
	}
	return found
}

// matchers looks for names in RBAC's principals and permissions; known are those seen, for an anchor may hold itself.
type matchers struct {
	names []string
	known map[*yaml.Node][]string
}

// demands are the names of which a request needs one to match.
func (m *matchers) demands(n *yaml.Node) (found []string) {
	if found, seen := m.known[n]; seen {
		return found
	}
	m.known[n] = nil
	header, name := get(n, "header"), strings.ToLower(text(get(get(n, "header"), "name")))
	switch {
	case header != nil:
		absent := text(get(header, "present_match", "presentMatch")) == "false" || text(get(header, "invert_match", "invertMatch")) == "true" ||
			text(get(header, "treat_missing_header_as_empty", "treatMissingHeaderAsEmpty")) == "true"
		if !absent && slices.Contains(m.names, name) {
			found = []string{name}
		}
	case get(n, "or_ids", "orIds", "or_rules", "orRules") != nil:
		found = m.each(items(get(get(n, "or_ids", "orIds", "or_rules", "orRules"), "ids", "rules")))
	default:
		for _, one := range items(get(get(n, "and_ids", "andIds", "and_rules", "andRules"), "ids", "rules")) {
			found = union(found, m.demands(one))
		}
	}
	m.known[n] = found
	return found
}

// each is what all of a list demand together; nil where one demands nothing.
func (m *matchers) each(list []*yaml.Node) (found []string) {
	for _, n := range list {
		demanded := m.demands(n)
		if demanded == nil {
			return nil
		}
		found = union(found, demanded)
	}
	return found
}

var luaComment = regexp.MustCompile(`--.*`)

// removedIn are the names that n has removed from requests: in header mutations, by Envoy Gateway, or in Lua.
func removedIn(n *yaml.Node, names []string) (found []string) {
	if text(get(n, "disabled")) == "true" {
		return nil
	}
	eachField(n, func(field string, v *yaml.Node) {
		for _, name := range names {
			if removes(field, v, name) {
				found = union(found, []string{name})
			}
		}
	})
	return found
}

func removes(field string, v *yaml.Node, name string) bool {
	is := func(n *yaml.Node) bool { return strings.ToLower(text(n)) == name }
	switch field {
	case "request_mutations", "requestMutations":
		return slices.ContainsFunc(items(v), func(n *yaml.Node) bool {
			key := get(get(n, "remove_on_match", "removeOnMatch"), "key_matcher", "keyMatcher")
			prefix := text(get(key, "prefix"))
			return is(get(n, "remove")) || is(get(key, "exact")) || prefix != "" && strings.HasPrefix(name, strings.ToLower(prefix))
		})
	case "earlyRequestHeaders":
		return slices.ContainsFunc(items(get(v, "remove")), is)
	case "inlineCode", "inline_code", "inlineString", "inline_string":
		code := strings.ReplaceAll(strings.ToLower(luaComment.ReplaceAllString(text(v), "")), "'", `"`)
		return strings.Contains(code, "envoy_on_request") && strings.Contains(code, "remove(") && strings.Contains(code, `"`+name+`"`)
	}
	return false
}

func union(a, b []string) []string {
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(slices.Clip(a), s)
		}
	}
	return a
}
