package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tidwall/gjson"
	"go.yaml.in/yaml/v3"

	"github.com/curfew-proxy/curfew/policy"
)

// plugin holds one config and what is around it against all that lint knows.
func (l *linter) plugin(p *plugin, env func(string) string) {
	for _, f := range p.traps {
		l.add(f)
	}
	if l.configured(p) {
		for _, e := range policy.Faults(p.config, env) {
			l.parserError(p, e)
		}
	}
	l.variables(p)
	if p.kind == bare {
		return
	}
	l.failure(p)
	l.phase(p)
	l.vmID(p)
	l.guard(p, env)
	l.feed(p)
}

// say notes a finding about a field of the config.
func (l *linter) say(p *plugin, s severity, field, message string) {
	l.add(finding{p.file, p.placeOf(field), s, field, message})
}

// sayAt notes a finding about something around the config.
func (l *linter) sayAt(p *plugin, s severity, n *yaml.Node, field, message string) {
	if n == nil {
		n = p.node
	}
	l.add(finding{p.file, placeOf(n), s, field, message})
}

// parserError notes an error, unless a trap at that very field says more.
func (l *linter) parserError(p *plugin, e *policy.ConfigError) {
	for _, f := range p.traps {
		if f.field == e.Field && f.severity == isError {
			return
		}
	}
	message := e.Rule
	if e.Value != "" && e.Field != "config" { // which would be all of it
		message = e.Value + ": " + message
	}
	if at, why := jsonFault(p.config); at >= 0 && strings.TrimSpace(p.config) != "" && e.Field == "config" {
		message += " (" + why + ")"
	}
	l.say(p, isError, e.Field, message)
}

// configured reports whether the config is handed over in a form that its proxy takes: Envoy wants an Any, of
// which two types make sense, the others want an object.
func (l *linter) configured(p *plugin) bool {
	any := get(p.node, "configuration")
	value := get(any, "value")
	kind := text(get(any, "@type"))
	switch n := get(p.node, "pluginConfig", "plugin_config", "config"); {
	case p.kind == bare || p.kind == envoy && any == nil:
	case p.kind != envoy && n != nil && n.Kind == yaml.ScalarNode:
		l.sayAt(p, isError, n, "config", "is text, which "+p.kind.String()+" would hand on in quotes, or refuse; write the fields as YAML, without the |")
		return false
	case p.kind != envoy:
	case !strings.HasSuffix(kind, "google.protobuf.StringValue") && !strings.HasSuffix(kind, "google.protobuf.Struct"):
		l.sayAt(p, isError, any, "configuration", `needs "@type": type.googleapis.com/google.protobuf.StringValue, and the JSON as text under value`)
	case strings.HasSuffix(kind, "StringValue") && value != nil && value.Kind != yaml.ScalarNode:
		l.sayAt(p, isError, value, "configuration.value", "is YAML where Envoy wants text; write `value: |` and the JSON below it")
		return false
	}
	return true
}

// failure looks at what happens after a trap.
func (l *linter) failure(p *plugin) {
	field, names := "failure_policy", []string{"failure_policy", "failurePolicy"}
	switch p.kind {
	case istio:
		field, names = "failStrategy", []string{"failStrategy", "fail_strategy"}
	case gateway:
		if open := get(p.node, "failOpen"); text(open) == "true" {
			l.sayAt(p, isError, open, "failOpen", "true: after a trap everybody gets in; remove it")
		}
		return
	}
	n := get(p.node, names...)
	if open := get(p.node, "fail_open", "failOpen"); open != nil && p.kind == envoy {
		if text(open) == "true" {
			l.sayAt(p, isError, open, "fail_open", "true: after a trap everybody gets in; replace it with failure_policy: FAIL_RELOAD")
			return
		}
	}
	switch strings.ToUpper(text(n)) {
	case "FAIL_OPEN":
		l.sayAt(p, isError, n, field, "FAIL_OPEN: after a trap everybody gets in; set it to FAIL_RELOAD")
	case "FAIL_RELOAD":
	case "":
		l.sayAt(p, isWarning, n, field, "is missing: after a trap a worker answers 503 until the proxy restarts; set it to FAIL_RELOAD (Envoy 1.33 and newer)")
	default:
		l.sayAt(p, isWarning, n, field, text(n)+": after a trap a worker answers 503 until the proxy restarts; set it to FAIL_RELOAD (Envoy 1.33 and newer)")
	}
}

// variables holds those that the config names against those that the VM gets, and lists what the proxy needs.
func (l *linter) variables(p *plugin) {
	given := p.environment()
	where := map[kind]string{envoy: "vm_config.environment_variables.host_env_keys", istio: "vmConfig.env, with valueFrom: HOST", gateway: "env.hostKeys"}[p.kind]
	for field, name := range secretsOf(p.config) {
		v, is := given[name]
		switch {
		case !validEnv(name): // the parser has said so
		case p.kind != bare && !is:
			l.say(p, isError, field, name+": the filter does not get this environment variable; list it under "+where)
		case is && !v.host && v.value == "":
			l.say(p, isError, field, name+": the filter gets this environment variable empty; list it under "+where)
		case is && !v.host:
			l.say(p, isWarning, field, name+": this secret stands in the file, and who reads that can be anybody; give it to the proxy's environment, and list its name under "+where)
		case !l.env:
			l.say(p, isNote, field, "needs "+name+" in the environment of the proxy")
		}
	}
}

// variable is where the VM has one from: the proxy's own environment, or the file.
type variable struct {
	host  bool
	value string
}

// environment is the variables that the VM gets, by name.
func (p *plugin) environment() map[string]variable {
	found := map[string]variable{}
	hosts := get(get(p.node, "env"), "hostKeys") // Envoy Gateway's
	switch p.kind {
	case envoy:
		env := get(p.vm(), "environment_variables", "environmentVariables")
		hosts = get(env, "host_env_keys", "hostEnvKeys")
		if pairs := get(env, "key_values", "keyValues"); pairs != nil {
			for i := 0; i+1 < len(pairs.Content); i += 2 {
				found[pairs.Content[i].Value] = variable{value: text(resolve(pairs.Content[i+1]))}
			}
		}
	case istio:
		for _, n := range items(get(p.vm(), "env")) {
			found[text(get(n, "name"))] = variable{text(get(n, "valueFrom", "value_from")) == "HOST", text(get(n, "value"))}
		}
	}
	for _, n := range items(hosts) {
		found[text(n)] = variable{host: true}
	}
	return found
}

// phase: Istio puts other filters in front of a plugin that names no phase, or a later one.
func (l *linter) phase(p *plugin) {
	if p.kind != istio {
		return
	}
	holder := p.node
	if spec := p.above[len(p.above)-1]; get(spec, "wasm") == p.node {
		holder = spec // a TrafficExtension's
	}
	if n := get(holder, "phase"); text(n) != "AUTHN" {
		l.sayAt(p, isWarning, n, "phase", "is not AUTHN: Istio's own authentication and authorization come first and do not see the session; set phase: AUTHN")
	}
}

func (l *linter) vmID(p *plugin) {
	if p.kind == envoy && text(get(p.vm(), "vm_id", "vmId")) == "" {
		l.sayAt(p, isError, p.vm(), "vm_config.vm_id", "is missing: plugins with the same module would share one VM and, on Envoy before mid-2026, the environment of the first; give it a name of its own, such as curfew-shop")
	}
}

// vms looks for plugins that share a VM and do not ask for the same environment.
func (l *linter) vms() {
	for i, p := range l.plugins {
		for _, first := range l.plugins[:i] {
			if id, shared := sharedVM(first, p); shared && !maps.Equal(first.environment(), p.environment()) {
				l.sayAt(p, isError, get(p.vm(), "vm_id", "vmId"), "vm_config.vm_id", fmt.Sprintf(
					"%s: the plugin in %s, line %d, has it too, and other environment variables; on Envoy before mid-2026 both get those of the first: give each an id of its own, or the same variables", id, first.file, first.node.Line))
			}
		}
	}
}

func sharedVM(a, b *plugin) (id string, shared bool) {
	if a.kind != envoy || b.kind != envoy {
		return "", false
	}
	id = text(get(a.vm(), "vm_id", "vmId"))
	return id, id != "" && id == text(get(b.vm(), "vm_id", "vmId")) && codeOf(a.vm()) == codeOf(b.vm())
}

// neighbours are the filters before and behind the plugin's in its chain, if it is in one.
func (p *plugin) neighbours() (before, after []*yaml.Node, chained bool) {
	for i := len(p.above) - 1; i > 0; i-- {
		list := p.above[i]
		if list.Kind != yaml.SequenceNode || list != get(p.above[i-1], "http_filters", "httpFilters") {
			continue
		}
		filter := p.node
		if i+1 < len(p.above) {
			filter = p.above[i+1]
		}
		at := slices.Index(list.Content, filter)
		return list.Content[:max(at, 0)], list.Content[at+1:], true
	}
	return nil, nil, false
}

// feed looks for the cluster of revoke.feed, where all clusters are in the file.
func (l *linter) feed(p *plugin) {
	name := gjson.Get(p.config, "revoke.feed.cluster").Str
	if name == "" || p.kind != envoy {
		return
	}
	for _, d := range l.documents {
		static := get(d, "static_resources", "staticResources")
		if static == nil || !slices.Contains(p.above, static) || get(get(d, "dynamic_resources", "dynamicResources"), "cds_config", "cdsConfig", "ads_config", "adsConfig") != nil {
			continue
		}
		var names []string
		for _, c := range items(get(static, "clusters")) {
			names = append(names, text(get(c, "name")))
		}
		if !slices.Contains(names, name) {
			l.say(p, isError, "revoke.feed.cluster", fmt.Sprintf("%s: no such cluster, so the feed would never be heard; add it to static_resources.clusters, or name one of those: %s", name, strings.Join(names, ", ")))
		}
	}
}
