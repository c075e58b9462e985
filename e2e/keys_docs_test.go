package e2e

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// walk follows docs/keys.md from its first block to its last, on two proxies.
type walk struct {
	t       *testing.T
	blocks  []block
	clk     *clock
	dir     string // where the page's commands run
	setups  [2]setup
	proxies [2]*envoy
}

// block is what stands between two fences.
type block struct{ kind, text string }

func newWalk(t *testing.T) *walk {
	t.Helper()
	page, err := os.ReadFile("../docs/keys.md")
	if err != nil {
		t.Fatal(err)
	}
	w := &walk{t: t, clk: newClock(t), dir: t.TempDir()}
	for _, m := range regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$").FindAllStringSubmatch(string(page), -1) {
		w.blocks = append(w.blocks, block{m[1], m[2]})
	}
	w.clk.set(t, time.Date(2026, 6, 20, 12, 0, 0, 0, time.UTC))
	app := newApp(t)
	for i := range w.setups {
		w.setups[i] = setup{app: app, clock: w.clk, workers: 1, env: map[string]string{"CURFEW_KEY_2026_04": ""}, discovery: filepath.Join(t.TempDir(), "curfew.json")}
	}
	w.tool()
	return w
}

// tool builds `curfew` into the folder. The proxies live at another time than this machine, so what is minted
// for them must begin at theirs.
func (w *walk) tool() {
	w.t.Helper()
	build := exec.Command("go", "build", "-o", filepath.Join(w.dir, "curfew.real"), "./cmd/curfew")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		w.t.Fatalf("go build: %v\n%s", err, out)
	}
	const script = "#!/bin/sh\ncommand=$1\nshift\n[ \"$command\" != mint ] || set -- -at \"$NOW\" \"$@\"\nexec curfew.real \"$command\" \"$@\"\n"
	if err := os.WriteFile(filepath.Join(w.dir, "curfew"), []byte(script), 0o700); err != nil {
		w.t.Fatal(err)
	}
}

// next is the page's next block.
func (w *walk) next(kind string) string {
	w.t.Helper()
	if len(w.blocks) == 0 || w.blocks[0].kind != kind {
		w.t.Fatalf("docs/keys.md goes on with %v, want a block of %s", w.blocks, kind)
	}
	b := w.blocks[0]
	w.blocks = w.blocks[1:]
	return b.text
}

// try runs commands against the two proxies.
func (w *walk) try(commands string) (out string, err error) {
	w.t.Helper()
	addresses := strings.NewReplacer("localhost:9901", w.proxies[0].admin, "localhost:9902", w.proxies[1].admin,
		"localhost:10000", w.proxies[0].http, "localhost:10001", w.proxies[1].http)
	sh := exec.Command("sh", "-euc", addresses.Replace(commands))
	sh.Dir = w.dir
	sh.Env = append(os.Environ(), "NOW="+w.clk.now.Format(time.RFC3339), "PATH="+w.dir+":"+filepath.Dir(tool(w.t, "CURFEW_CURL"))+":"+os.Getenv("PATH"))
	b, err := sh.CombinedOutput()
	return string(b), err
}

func (w *walk) run(commands string) (out string) {
	w.t.Helper()
	out, err := w.try(commands)
	if err != nil {
		w.t.Fatalf("%s\n%v: %s", commands, err, out)
	}
	return out
}

// secret is what the page's commands put into a file for the environment.
func (w *walk) secret(file string) (name, value string) {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, file))
	name, value, ok := strings.Cut(strings.TrimSpace(string(b)), "=")
	if err != nil || !ok {
		w.t.Fatalf("%s: %q %v", file, b, err)
	}
	return name, value
}

// restart starts one proxy anew, with a config and what its environment has by then.
func (w *walk) restart(i int, config string, env map[string]string) {
	w.t.Helper()
	if w.proxies[i] != nil {
		w.proxies[i].stop()
	}
	w.setups[i].config, w.setups[i].env = config, maps.Clone(env)
	w.proxies[i] = start(w.t, w.setups[i])
}

const configStat = "extension_config_discovery.http_filter.curfew.config_"

// push gives both a config over xDS.
func (w *walk) push(config string) {
	w.t.Helper()
	for i, e := range w.proxies {
		was := e.gauge(configStat + "reload")
		w.setups[i].config = config
		httpFilters(w.t, w.setups[i])
		eventually(w.t, "a proxy takes the config", func() bool { return e.gauge(configStat+"reload") > was })
		if n := e.gauge(configStat + "fail"); n != 0 {
			w.t.Errorf("a proxy refused %s:\n%s", config, e.log)
		}
	}
}

// login is a browser that is remembered.
func (w *walk) login(proxy int) *client {
	w.t.Helper()
	c := newClient(w.t, w.proxies[proxy], "h2")
	c.login(`{"start":{"subject":"42","remember":true}}`)
	return c
}

// alive asks both proxies.
func (w *walk) alive(c *client, when string) {
	w.t.Helper()
	for _, e := range w.proxies {
		alive(w.t, c.through(e), when)
	}
}

// over waits until both say of these cookies that they are no session, for that reason.
func (w *walk) over(saved, reason string) {
	w.t.Helper()
	for _, e := range w.proxies {
		eventually(w.t, reason+": "+saved, func() bool {
			r := newBare(w.t, e, "h2").do("GET", "/", "", "Accept: text/html", "Cookie: "+saved)
			return r.Header.Get("location") == "/login?next=/&reason="+reason
		})
	}
}

// totals are the counters of keys as `curfew status` shows them.
func (w *walk) totals(commands string) map[string]int {
	w.t.Helper()
	all := map[string]int{}
	for _, m := range regexp.MustCompile(`(?m)^ +(20\d\d_\d\d) +(\d+) `).FindAllStringSubmatch(w.run(commands), -1) {
		var n int
		_, _ = fmt.Sscan(m[2], &n)
		all[m[1]] = n
	}
	return all
}

// Each config and each command of docs/keys.md does what the page says, in the page's order.
func TestKeysPage(t *testing.T) {
	w := newWalk(t)
	env := map[string]string{"CURFEW_KEY_2026_04": newKey()}
	last := w.planned(env)
	w.emergency(env, last)
	w.refusals()
	if len(w.blocks) != 0 {
		t.Errorf("nothing runs %v", w.blocks)
	}
}

// planned walks through the rotation from 2026-04 to 2026-07, and returns the config that it ends with.
func (w *walk) planned(env map[string]string) string {
	t := w.t
	before := w.next("json")
	for i := range w.proxies {
		w.restart(i, before, env)
	}
	person := w.login(0)
	w.run(w.next("sh"))
	w.spread(w.next("json"), env, person)

	from := time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)
	w.clk.set(t, from.Add(-time.Second))
	busy, waker, gone := w.login(0), w.login(1), w.login(1).saved()
	w.clk.set(t, from)
	w.alive(person, "at sign_from")
	w.alive(busy, "at sign_from")
	if by := []string{person.signedBy(), busy.signedBy(), waker.signedBy()}; !slices.Equal(by, []string{"2026-07", "2026-07", "2026-04"}) {
		t.Errorf("under %v", by)
	}
	w.rest(w.next("sh"), busy)

	w.push(w.next("json"))
	w.clk.set(t, from.Add(13*24*time.Hour))
	w.alive(busy, "within idle")
	w.alive(waker, "back within idle")
	w.clk.set(t, from.Add(26*24*time.Hour))
	w.alive(waker, "once more")
	w.over(gone, "idle_timeout")
	w.clk.set(t, from.Add(30*24*time.Hour-2*time.Second)) // these began a second before sign_from
	w.alive(waker, "to its last second")
	w.clk.advance(t, time.Second)
	w.over(waker.saved(), "absolute_timeout")
	person = w.login(0)
	until := time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC)
	w.clk.set(t, until)
	w.over(gone, "idle_timeout")
	w.clk.advance(t, time.Second)
	w.over(gone, "invalid")
	w.alive(person, "after verify_until")

	after := w.next("json")
	w.push(after)
	w.over(gone, "invalid")
	w.alive(person, "without the old key")
	if out := w.run(w.next("sh")); !strings.Contains(out, "curfew_key_2026_07: ") || !strings.Contains(out, "curfew_invalid: ") {
		t.Errorf("the check shows %s", out)
	}
	return after
}

// spread gives both proxies the new key, and proves that the checks see a proxy without it and one with another
// secret.
func (w *walk) spread(config string, env map[string]string, person *client) {
	t := w.t
	t.Helper()
	have, same := w.next("sh"), w.next("sh")
	name, value := w.secret("2026-07.env")
	w.setups[0].config = config
	httpFilters(t, w.setups[0])
	eventually(t, "a config whose variable is not there is refused", func() bool { return w.proxies[0].gauge(configStat+"fail") == 1 })
	w.alive(person, "under the config before")
	env[name] = value
	w.restart(0, config, env)
	w.alive(person, "one proxy has it")
	if out, err := w.try(have); err == nil {
		t.Errorf("one has not got it: %s", out)
	}
	wrong := maps.Clone(env)
	wrong[name] = newKey()
	w.restart(1, config, wrong)
	if out := w.run(have + same); strings.Count(out, `"state":"ok"`) != 1 || strings.Count(out, `"state":"invalid"`) != 1 {
		t.Errorf("one has another secret: %s", out)
	}
	w.restart(1, config, env)
	w.alive(person, "both have it")
	if out := w.run(have + same); strings.Count(out, "curfew_key_2026_07: ") != 2 || strings.Count(out, `"state":"ok"`) != 2 {
		t.Errorf("both have it: %s", out)
	}
	if person.signedBy() != "2026-04" {
		t.Errorf("before sign_from: %s", person.saved())
	}
}

// rest proves that the old key's counter stands still while the new one's rises.
func (w *walk) rest(commands string, busy *client) {
	w.t.Helper()
	const visits = 10
	for _, e := range w.proxies {
		// A proxy's one worker tells all at once, so with this it has told what went before.
		known := e.counter("absent")
		newBare(w.t, e, "h2").page("/")
		eventually(w.t, "all is told", func() bool { return e.counter("absent") > known })
	}
	was := w.totals(commands)
	for range visits / 2 {
		w.alive(busy, "while it is counted")
	}
	is := was
	eventually(w.t, "the new one rises", func() bool { is = w.totals(commands); return is["2026_07"] >= was["2026_07"]+visits })
	if was["2026_04"] == 0 || is["2026_04"] != was["2026_04"] {
		w.t.Errorf("the old one went from %v to %v", was, is)
	}
}

// emergency walks through the loss of 2026-07.
func (w *walk) emergency(env map[string]string, leaked string) {
	t := w.t
	w.clk.set(t, time.Date(2026, 8, 9, 8, 0, 0, 0, time.UTC))
	victim, other := w.login(0), w.login(1)
	stolen := victim.saved()
	w.clk.set(t, time.Date(2026, 8, 10, 8, 0, 0, 0, time.UTC))
	w.run(w.next("sh"))
	name, value := w.secret("2026-08.env")
	env[name] = value

	alone := w.next("json")
	w.restart(0, alone, env)
	untouched(t, ended(t, victim.through(w.proxies[0]), "invalid", "a leaked key"), "a leaked key")
	ended(t, w.login(0).through(w.proxies[1]), "invalid", "where the new key is not yet")
	w.restart(1, alone, env)
	w.over(stolen, "invalid")
	w.over(other.saved(), "invalid")
	w.alive(w.login(1), "logged in again")

	// The same without a restart.
	w.push(leaked)
	eventually(t, "the leaked key is back", func() bool { return w.login(0).signedBy() == "2026-07" && w.login(1).signedBy() == "2026-07" })
	victim = w.login(0)
	w.alive(victim, "before")
	w.push(w.next("json"))
	w.over(victim.saved(), "invalid")
	if by := w.login(1).signedBy(); by != "2026-08" {
		t.Errorf("%s signs", by)
	}
	check := w.next("sh")
	if out := w.run(check); strings.Count(out, `"state":"invalid"`) != 2 {
		t.Errorf("the leaked key: %s", out)
	}

	w.push(w.next("json"))
	w.over(stolen, "revoked")
	if out := w.run(check); strings.Count(out, `"state":"ok"`) != 2 {
		t.Errorf("revoke.before helps against a leaked key; say so: %s", out)
	}
}

// refusals holds the page's lines against what Envoy says when it does not start.
func (w *walk) refusals() {
	t, good := w.t, newKey()
	keys := func(list string) string { return `{"keys": [` + list + `], "login": {"url": "/login"}}` }
	two := func(id string) string {
		return keys(`{"id": "a", "secret_env": "CURFEW_KEY"}, {"id": "` + id + `", "secret_env": "CURFEW_NEXT"}`)
	}
	one := keys(`{"id": "a", "secret_env": "CURFEW_KEY"}`)
	var logs strings.Builder
	for _, s := range []setup{
		{config: one},
		{config: one, env: map[string]string{"CURFEW_KEY": good[:20]}},
		{config: one, env: map[string]string{"CURFEW_KEY": "change-me-" + good}},
		{config: two("b"), env: map[string]string{"CURFEW_KEY": good, "CURFEW_NEXT": good}},
		{config: two("a"), env: map[string]string{"CURFEW_KEY": good, "CURFEW_NEXT": newKey()}},
		{config: strings.Replace(two("a_1"), `"a"`, `"a-1"`, 1), env: map[string]string{"CURFEW_KEY": good, "CURFEW_NEXT": newKey()}},
		{config: keys(`{"id": "a", "secret_env": "CURFEW_KEY", "sign_from": "2026-12-01T00:00:00Z", "verify_until": "2026-11-01T00:00:00Z"}`), env: map[string]string{"CURFEW_KEY": good}},
	} {
		s.app = w.setups[0].app
		logs.WriteString(refused(t, s))
	}
	for _, line := range strings.Split(strings.TrimSpace(w.next("text")), "\n") {
		if !strings.Contains(logs.String(), "curfew does not start: "+line) {
			t.Errorf("the filter never says %q:\n%s", line, logs.String())
		}
	}
}
