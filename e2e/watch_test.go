package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// watchedConfig has something of all that is counted.
const watchedConfig = `{"keys": [{"id": "2026-11", "secret_env": "CURFEW_KEY"}, {"id": "2027-05", "secret_env": "CURFEW_NEXT", "sign_from": "2027-05-01T00:00:00Z"}],
	"login": {"url": "/login"}, "logout": {"path": "/logout"}, "timeouts": {"idle": "15m", "absolute": "1h"},
	"rules": [{"path_prefix": "/off", "session": "off"}, {"path_prefix": "/admin", "require": {"data.role": ["admin"]}}],
	"revoke": {"subjects": {"gone": "2026-11-21T12:00:01Z"},
	           "feed": {"cluster": "app", "path": "/curfew/revoked", "interval": "1s"}}}`

// watched starts an Envoy whose app has a feed of two entries.
func watched(t *testing.T) (*envoy, *clock) {
	t.Helper()
	app := newFeedApp(t)
	app.say(`{"subjects": {"13": "2026-11-20T00:00:00Z", "14": "2026-11-20T00:00:00Z"}}`)
	clk := newClock(t)
	env := map[string]string{"CURFEW_KEY": newKey(), "CURFEW_NEXT": newKey()}
	return start(t, setup{app: app.addr, env: env, config: watchedConfig, clock: clk}), clk
}

// traffic meets these reasons, once or more each.
var met = []string{"ok", "off", "absent", "invalid", "idle_timeout", "absolute_timeout", "revoked", "forbidden", "logged_out",
	"started", "changed", "rotated", "touched", "ended", "bad_command", "too_large"}

func traffic(t *testing.T, e *envoy, clk *clock) {
	t.Helper()
	person := func(subject string) *client {
		c := newClient(t, e, "http/1.1")
		c.login(`{"start":{"subject":"` + subject + `"}}`)
		return c
	}
	command := func(c *client, text string) {
		c.do("POST", "/page", url.Values{"set": {"x-session: " + text}}.Encode())
	}
	revoked := person("gone")
	clk.advance(t, time.Second)
	revoked.page("/page")
	newClient(t, e, "h2").page("/page")
	newClient(t, e, "h2").do("GET", "/page", "", "Cookie: "+hostName+"=1s.2026-11.AAAA")
	c := person("42")
	c.page("/off")
	c.page("/admin")
	command(c, `{"set":{"theme":"dark"}}`)
	command(c, `{"set":{"much":"`+strings.Repeat("x", 4000)+`"}}`)
	command(c, `{"rotate":true}`)
	command(c, `{"nonsense":1}`)
	for range 7 {
		clk.advance(t, 9*time.Minute)
		c.page("/page")
	}
	idle := person("42")
	clk.advance(t, 16*time.Minute)
	idle.page("/page")
	command(person("42"), `{"end":true}`)
	person("42").do("POST", "/logout", "")
}

// prometheus is a real one that reads an Envoy every second.
type prometheus struct {
	t   *testing.T
	url string
}

func startPrometheus(t *testing.T, target string) *prometheus {
	t.Helper()
	dir := t.TempDir()
	rules, err := filepath.Abs("../deploy/watch/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "prometheus.json") // which is YAML, too
	writeJSON(t, config, object{
		"global":     object{"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
		"rule_files": []string{rules},
		"scrape_configs": []any{object{"job_name": "envoy", "metrics_path": "/stats/prometheus",
			"static_configs": []any{object{"targets": []string{target}}}}},
	})
	p := &prometheus{t: t, url: "http://" + freeAddress(t)}
	background(t, "Prometheus", exec.Command(tool(t, "CURFEW_PROMETHEUS"), "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+strings.TrimPrefix(p.url, "http://"), "--log.level=warn"))
	eventually(t, "Prometheus is ready", func() bool {
		res, err := http.Get(p.url + "/-/ready")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == 200
	})
	return p
}

// freeAddress is one that nothing listens on; Prometheus cannot say which port it took.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// get fills data with the answer of Prometheus' API.
func (p *prometheus) get(path string, data any) error {
	res, err := http.Get(p.url + path)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s", answer.Error)
	}
	return json.Unmarshal(answer.Data, data)
}

// query returns an expression's series: the value by the label, or by "" where there is none.
func (p *prometheus) query(expr, label string) (map[string]float64, error) {
	var data struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any
		}
	}
	err := p.get("/api/v1/query?query="+url.QueryEscape(expr), &data)
	series := map[string]float64{}
	for _, r := range data.Result {
		v, _ := r.Value[1].(string)
		series[r.Metric[label]], _ = strconv.ParseFloat(v, 64)
	}
	return series, err
}

// dashboard is what of a Grafana dashboard the tests look at.
type dashboard struct {
	UID        string
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
	Panels []panel
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               struct{ UID string }
	GridPos                  struct{ X, Y, W, H int }
	Targets                  []struct {
		RefID, Expr, LegendFormat string
		Datasource                struct{ UID string }
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	b, err := os.ReadFile("../deploy/watch/dashboard.json")
	if err == nil {
		err = json.Unmarshal(b, &d)
	}
	if err != nil || len(d.Panels) == 0 {
		t.Fatalf("%d panels: %v", len(d.Panels), err)
	}
	return d
}

// asked is an expression as Grafana would ask it for all jobs and instances, at a pace that suits a test.
var asked = strings.NewReplacer("$__rate_interval:15s", "1m:1s", "$__rate_interval", "1m", "$job", ".*", "$instance", ".*")

// Every expression of the dashboard finds what a real Envoy tells a real Prometheus, every alert rule can be
// evaluated, and the alerts that the traffic is worth come.
func TestWatch(t *testing.T) {
	e, clk := watched(t)
	p := startPrometheus(t, e.admin)
	eventually(t, "a first reading, from which rates count", func() bool {
		v, err := p.query("count_over_time(curfew_ok[1m:1s])", "")
		return err == nil && v[""] > 0
	})
	traffic(t, e, clk)
	for _, reason := range met {
		eventually(t, "Prometheus has seen "+reason, func() bool {
			v, err := p.query("increase(curfew_"+reason+"[1m:1s])", "")
			return err == nil && v[""] > 0
		})
	}
	t.Run("dashboard", func(t *testing.T) { everyPanel(t, p) })
	t.Run("alerts", func(t *testing.T) { everyAlert(t, p) })
}

func everyPanel(t *testing.T, p *prometheus) {
	reasons := map[string]bool{}
	for _, panel := range readDashboard(t).Panels {
		for _, target := range panel.Targets {
			label := strings.Trim(regexp.MustCompile(`{{\w+}}|$`).FindString(target.LegendFormat), "{}")
			series, err := p.query(asked.Replace(target.Expr), label)
			if err != nil || len(series) == 0 {
				t.Errorf("%s: %s: %d series: %v", panel.Title, target.Expr, len(series), err)
			}
			if _, unlabelled := series[""]; unlabelled && label != "" {
				t.Errorf("%s: no series has the label %s", panel.Title, label)
			}
			for name, v := range series {
				reasons[name] = reasons[name] || label == "reason" && v > 0
				if panel.Title == "Keys in use" && (name == "2026_11") != (v > 0) {
					t.Errorf("key %s: %v per second", name, v)
				}
			}
		}
	}
	for _, reason := range met {
		if !reasons[reason] {
			t.Errorf("no panel shows %s", reason)
		}
	}
}

func everyAlert(t *testing.T, p *prometheus) {
	var rules ruleGroups
	states := map[string]string{}
	eventually(t, "the alerts of the traffic", func() bool {
		if err := p.get("/api/v1/rules", &rules); err != nil || len(rules.Groups) != 1 {
			t.Fatalf("%d groups: %v", len(rules.Groups), err)
		}
		for _, r := range rules.Groups[0].Rules {
			if r.Health == "err" {
				t.Fatalf("%s: %s: %s", r.Name, r.Health, r.LastError)
			}
			states[r.Name] = r.State
			if r.Health != "ok" {
				states[r.Name] = "" // not evaluated yet
			}
		}
		return states["CurfewBadCommand"] == "firing" && states["CurfewTooLarge"] == "firing" && !slices.Contains(values(states), "")
	})
	for _, quiet := range []string{"CurfewNowhere", "CurfewGone", "CurfewTrapped", "CurfewFeedDenies", "CurfewFeedFailing", "CurfewTwoKeys", "CurfewMemory"} {
		if states[quiet] != "inactive" {
			t.Errorf("%s: %q", quiet, states[quiet])
		}
	}
	for _, r := range rules.Groups[0].Rules {
		if _, err := p.query(r.Query, ""); err != nil {
			t.Errorf("%s: %v", r.Name, err)
		}
	}
}

// trap is a filter that crashes on each request: (func (export "proxy_on_request_headers") ... unreachable), and what
// else the host wants to see: memory, malloc, the version of the interface, a start that goes well.
const trap = `
AGFzbQEAAAABGwVgAABgAX8Bf2ACf38Bf2ACf38AYAN/f38BfwMIBwAAAQICAwQFAwEAAQeUAQgGbWVtb3J5AgAXcHJveHlfYWJp
X3ZlcnNpb25fMF8yXzEAAAZfc3RhcnQAAQZtYWxsb2MAAhFwcm94eV9vbl92bV9zdGFydAADEnByb3h5X29uX2NvbmZpZ3VyZQAE
F3Byb3h5X29uX2NvbnRleHRfY3JlYXRlAAUYcHJveHlfb25fcmVxdWVzdF9oZWFkZXJzAAYKHgcCAAsCAAsFAEGACAsEAEEBCwQA
QQELAgALAwAACw==`

// A filter that crashes is told of, by its name in the config; and it is no Curfew.
func TestTrapAlert(t *testing.T) {
	module, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(trap, "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "trap.wasm")
	if err := os.WriteFile(path, module, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CURFEW_WASM", path)
	e := start(t, setup{app: newApp(t)})
	p := startPrometheus(t, e.admin)
	c := newClient(t, e, "h2")
	for alert, series := range map[string]string{"CurfewTrapped": "curfew", "CurfewNowhere": ""} {
		expr := strings.ReplaceAll(p.rule(alert), "[10m:30s]", "[1m:1s]") // a test has no minute to wait
		eventually(t, alert, func() bool {
			if r := c.page("/"); r.StatusCode != 503 {
				t.Fatalf("a filter that crashes: %d", r.StatusCode)
			}
			found, err := p.query(expr, "filter")
			return err == nil && found[series] > 0
		})
	}
}

// rule is an alert's expression.
func (p *prometheus) rule(alert string) string {
	p.t.Helper()
	var rules ruleGroups
	if err := p.get("/api/v1/rules", &rules); err != nil {
		p.t.Fatal(err)
	}
	for _, r := range rules.Groups[0].Rules {
		if r.Name == alert {
			return r.Query
		}
	}
	p.t.Fatalf("there is no alert %s", alert)
	return ""
}

// ruleGroups is what Prometheus says of the rules.
type ruleGroups struct {
	Groups []struct {
		Rules []struct{ Name, Query, Health, LastError, State string }
	}
}

func values(m map[string]string) (all []string) {
	for _, v := range m {
		all = append(all, v)
	}
	return all
}

// promtool finds the rules well-formed, and each fires when it should and only then.
func TestAlertRules(t *testing.T) {
	for _, args := range [][]string{{"check", "rules", "alerts.yaml"}, {"test", "rules", "alerts.test.yaml"}} {
		cmd := exec.Command(tool(t, "CURFEW_PROMTOOL"), args...)
		cmd.Dir = "../deploy/watch"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	rules, tests, page := text(t, "../deploy/watch/alerts.yaml"), text(t, "../deploy/watch/alerts.test.yaml"), text(t, "../docs/watching.md")
	for _, m := range regexp.MustCompile(`(?m)^      - alert: (\w+)$`).FindAllStringSubmatch(rules, -1) {
		name := m[1]
		if !regexp.MustCompile(`alertname: ` + name + `\n +eval_time: \w+\n +exp_alerts:\n +- exp_labels`).MatchString(tests) {
			t.Errorf("no test has %s fire", name)
		}
		if !regexp.MustCompile(`alertname: ` + name + `, eval_time: \w+, exp_alerts: \[\]`).MatchString(tests) {
			t.Errorf("no test has %s keep quiet", name)
		}
		if !strings.Contains(rules, "docs/watching.md#"+strings.ToLower(name)+"\n") || !strings.Contains(page, "\n### "+name+"\n") {
			t.Errorf("%s does not lead to a section of docs/watching.md", name)
		}
	}
}

func text(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// exposed is Curfew's part of Envoy's page: kinds by name.
func exposed(e *envoy) map[string]string {
	names := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (curfew_\w+) (\w+)$`).FindAllStringSubmatch(e.adminGet("/stats/prometheus"), -1) {
		names[m[1]] = m[2]
	}
	return names
}

// documented is what docs/reasons.md and docs/watching.md say is there.
func documented(t *testing.T) map[string]string {
	t.Helper()
	names := map[string]string{}
	for _, list := range reasonTables(t) {
		for _, reason := range list {
			names["curfew_"+reason] = "counter"
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(curfew_\\w+)` \\| (\\w+) \\|").FindAllStringSubmatch(text(t, "../docs/watching.md"), -1) {
		names[m[1]] = m[2]
	}
	names["curfew_key_2026_11"], names["curfew_key_2027_05"] = names["curfew_key_ID"], names["curfew_key_ID"]
	delete(names, "curfew_key_ID")
	return names
}

// reasonTables are the two of docs/reasons.md: what a request meets, and what a response does.
func reasonTables(t *testing.T) (lists [2][]string) {
	t.Helper()
	requests, responses, found := strings.Cut(text(t, "../docs/reasons.md"), "## What a response does")
	if !found {
		t.Fatal("docs/reasons.md has other sections")
	}
	for i, part := range []string{requests, responses} {
		for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(part, -1) {
			lists[i] = append(lists[i], m[1])
		}
	}
	return lists
}

// Envoy's page has the documented metrics, and no other of ours.
func TestMetricNames(t *testing.T) {
	e, _ := watched(t)
	got, want := exposed(e), documented(t)
	for name, kind := range want {
		if got[name] != kind {
			t.Errorf("%s is documented as a %s, Envoy has %q", name, kind, got[name])
		}
	}
	for name := range got {
		if want[name] == "" {
			t.Errorf("%s is nowhere documented", name)
		}
	}
}

// Grafana can import the dashboard: ids, places, data source; and it asks for metrics that there are.
func TestDashboard(t *testing.T) {
	d := readDashboard(t)
	e, _ := watched(t)
	page := e.adminGet("/stats/prometheus")
	var shown []string // lists of reasons
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if p.ID == 0 || ids[p.ID] {
			t.Errorf("%s: id %d", p.Title, p.ID)
		}
		ids[p.ID] = true
		if p.GridPos.X+p.GridPos.W > 24 || p.GridPos.W == 0 || p.GridPos.H == 0 {
			t.Errorf("%s: %+v is not on the grid", p.Title, p.GridPos)
		}
		for cell := range p.GridPos.W * p.GridPos.H {
			at := [2]int{p.GridPos.X + cell%p.GridPos.W, p.GridPos.Y + cell/p.GridPos.W}
			if cells[at] != "" {
				t.Fatalf("%s lies on %s", p.Title, cells[at])
			}
			cells[at] = p.Title
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("%s: description %q, data source %q, %d targets", p.Title, p.Description, p.Datasource.UID, len(p.Targets))
		}
		for _, target := range p.Targets {
			metricsExist(t, p.Title, target.Expr, page)
			for _, m := range regexp.MustCompile(`"curfew_\(([a-z_|]+)\)"`).FindAllStringSubmatch(target.Expr, -1) {
				shown = append(shown, sorted(strings.Split(m[1], "|")))
			}
			if !strings.Contains(target.Expr, `job=~"$job",instance=~"$instance"`) || target.Datasource.UID != "${datasource}" {
				t.Errorf("%s: %s: is not of the job, instance and data source that were chosen", p.Title, target.Expr)
			}
		}
	}
	for _, list := range reasonTables(t) {
		if all := sorted(list); !slices.Contains(shown, all) {
			t.Errorf("no panel shows all of %s", all)
		}
	}
	for i, name := range []string{"datasource", "job", "instance"} {
		if i >= len(d.Templating.List) || d.Templating.List[i].Name != name {
			t.Errorf("variable %s is not where it should be", name)
		}
	}
}

func sorted(names []string) string {
	slices.Sort(names)
	return strings.Join(names, " ")
}

// metricsExist looks for each name of an expression, and for something that fits each pattern of names.
func metricsExist(t *testing.T, title, expr, page string) {
	t.Helper()
	var wanted []string
	for _, m := range regexp.MustCompile(`\b((?:curfew|envoy)_\w+){`).FindAllStringSubmatch(expr, -1) {
		wanted = append(wanted, m[1])
	}
	for _, m := range regexp.MustCompile(`__name__=~"([^"]+)"`).FindAllStringSubmatch(expr, -1) {
		if list := reasonList.FindStringSubmatch(m[1]); list != nil {
			wanted = append(wanted, strings.Split("curfew_"+strings.ReplaceAll(list[1], "|", "|curfew_"), "|")...)
		} else {
			wanted = append(wanted, m[1])
		}
	}
	if len(wanted) == 0 {
		t.Errorf("%s: %s: names no metric", title, expr)
	}
	for _, name := range wanted {
		if !regexp.MustCompile(`(?m)^` + name + `{`).MatchString(page) {
			t.Errorf("%s: Envoy has no %s", title, name)
		}
	}
}

// reasonList is a pattern of names that lists reasons.
var reasonList = regexp.MustCompile(`^curfew_\(([a-z_|]+)\)$`)

// `curfew status` says of a real Envoy what its admin port says.
func TestStatus(t *testing.T) {
	e, clk := watched(t)
	traffic(t, e, clk)
	curfew := filepath.Join(t.TempDir(), "curfew")
	if out, err := exec.Command("go", "build", "-C", "..", "-o", curfew, "./cmd/curfew").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, reason := range met {
		eventually(t, "Envoy was told of "+reason, func() bool { return e.counter(reason) > 0 })
	}
	var said struct {
		Reasons map[string]int
		Keys    map[string]int
		Feed    *struct{ Entries int }
		Pages   int `json:"memory_pages"`
	}
	out, err := exec.Command(curfew, "status", "-json", e.admin).Output()
	if err == nil {
		err = json.Unmarshal(out, &said)
	}
	if err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	for reason, n := range said.Reasons {
		if want := e.counter(reason); n != want {
			t.Errorf("%s: %d, Envoy says %d", reason, n, want)
		}
	}
	if said.Reasons["ok"] == 0 || said.Pages == 0 {
		t.Errorf("%s", out)
	}
	if said.Keys["2026_11"] == 0 || said.Feed == nil || said.Feed.Entries != 2 {
		t.Errorf("keys and feed: %s", out)
	}
	table, err := exec.Command(curfew, "status", "http://"+e.admin+"/stats/prometheus").Output()
	if err != nil || !regexp.MustCompile(`(?m)^  idle_timeout +[1-9]`).Match(table) {
		t.Errorf("%v: %s", err, table)
	}
	other, err := exec.Command(curfew, "status", "http://"+e.admin+"/stats/prometheus?filter=server").CombinedOutput()
	if err == nil || !strings.Contains(string(other), "has no counter of Curfew") {
		t.Errorf("a page without Curfew's: %v: %s", err, other)
	}
}
