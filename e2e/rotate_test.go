package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// trio is three Envoys with one config and the same keys, whose clocks differ, and browsers that use all of them.
type trio struct {
	t       *testing.T
	now     time.Time
	clocks  [3]*clock
	envoys  [3]*envoy
	asked   [3]atomic.Int64 // requests with a session, by Envoy
	members []*member
	stop    chan struct{}
	failed  chan error
	wg      sync.WaitGroup
}

// ahead is how far the clock of each is.
var ahead = [3]time.Duration{-2 * time.Second, 0, 2 * time.Second}

// member is a browser. Cookies belong to hosts, not ports, so it is one to all three.
type member struct {
	*client
	name, id string
	command  string // how the app logs it in
	rounds   atomic.Int64
}

func newTrio(t *testing.T, now time.Time, config string, env map[string]string) *trio {
	t.Helper()
	g := &trio{t: t, stop: make(chan struct{})}
	app := newApp(t)
	for i := range g.clocks {
		g.clocks[i] = newClock(t)
	}
	g.at(now)
	for i := range g.envoys {
		g.envoys[i] = start(t, setup{app: app, env: env, clock: g.clocks[i], config: config})
	}
	return g
}

// at moves all clocks, each to its own idea of now.
func (g *trio) at(now time.Time) {
	g.t.Helper()
	g.now = now
	for i, c := range g.clocks {
		c.set(g.t, now.Add(ahead[i]))
	}
}

// join logs somebody in.
func (g *trio) join(place int, name, command string) *member {
	g.t.Helper()
	m := &member{client: newClient(g.t, g.envoys[place], protocols[len(g.members)%2]), name: name}
	m.command = strings.ReplaceAll(command, "NAME", name)
	if r := m.do("POST", "/login", url.Values{"set": {m.command}}.Encode()); r.StatusCode != 200 {
		g.t.Fatalf("%s: login: %d %s", name, r.StatusCode, r.body)
	}
	if err := m.visit(g, place, "/"); err != nil {
		g.t.Fatal(err)
	}
	return m
}

// visit is one request, which must meet its session.
func (m *member) visit(g *trio, place int, path string) error {
	_, port, _ := strings.Cut(g.envoys[place].https, ":")
	res, err := m.http.Get("https://localhost:" + port + path)
	if err != nil {
		return fmt.Errorf("%s: %w", m.name, err)
	}
	defer res.Body.Close()
	g.asked[place].Add(1)
	var app seen
	if err := json.NewDecoder(res.Body).Decode(&app); err != nil || res.StatusCode != 200 {
		return fmt.Errorf("%s at %d, %s: status %d, location %q", m.name, place, path, res.StatusCode, res.Header.Get("location"))
	}
	r := reply{app: &app}
	if id := r.id(); id == "" || id != m.id && m.id != "" {
		return fmt.Errorf("%s at %d: session %q became %q", m.name, place, m.id, id)
	} else if m.id == "" {
		m.id = id
	}
	// One of them says who it is: the session, or the app's own cookie in it.
	if r.subject() != m.name && r.appCookie("sessionid") != m.name {
		return fmt.Errorf("%s at %d: the app was told %v", m.name, place, app.Header)
	}
	return nil
}

// round is a few requests at once, to any of the three.
func (m *member) round(g *trio, random *rand.Rand) error {
	errs := make(chan error, 4)
	var wg sync.WaitGroup
	for range 1 + random.IntN(cap(errs)) {
		path := [...]string{"/", "/page?q=1", "/poll", telling("/save", fmt.Sprintf(`x-session: {"set":{"n":%d}}`, random.IntN(100)))}[random.IntN(4)]
		place := random.IntN(len(g.envoys))
		wg.Go(func() { errs <- m.visit(g, place, path) })
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return err
		}
	}
	m.rounds.Add(1)
	return nil
}

// load lets members come and go until halt.
func (g *trio) load(seed uint64) {
	g.t.Logf("seed %d", seed)
	g.failed = make(chan error, len(g.members))
	for i, m := range g.members {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		g.wg.Go(func() {
			pace := time.NewTicker(40 * time.Millisecond)
			defer pace.Stop()
			for {
				select {
				case <-g.stop:
					return
				case <-pace.C:
				}
				if err := m.round(g, random); err != nil {
					g.failed <- err
					return
				}
			}
		})
	}
}

// everybody waits until each member has made two more rounds from begin to end.
func (g *trio) everybody() {
	g.t.Helper()
	goals := make([]int64, len(g.members))
	for i, m := range g.members {
		goals[i] = m.rounds.Load() + 3 // the first of these may have begun before
	}
	for i, m := range g.members {
		eventually(g.t, m.name+" goes on", func() bool {
			select {
			case err := <-g.failed:
				g.t.Fatal(err)
			default:
			}
			return m.rounds.Load() >= goals[i]
		})
	}
}

// halt ends the load and reports what went wrong in it.
func (g *trio) halt() {
	select {
	case <-g.stop:
		return
	default:
		close(g.stop)
	}
	g.wg.Wait()
	close(g.failed)
	for err := range g.failed {
		g.t.Error(err)
	}
}

// cross moves the clocks over a time, second by second, so that each passes it at another moment.
func (g *trio) cross(when time.Time, at func(offset time.Duration)) {
	g.t.Helper()
	for offset := -3 * time.Second; offset <= 3*time.Second; offset += time.Second {
		g.at(when.Add(offset))
		if at != nil {
			at(offset)
		}
		g.everybody()
	}
}

// under waits until every cookie of every member that counts is under one key. Some only poll for a while.
func (g *trio) under(key string) {
	g.t.Helper()
	for _, m := range g.members {
		eventually(g.t, m.name+" is under "+key, func() bool {
			saved := m.saved()
			return m.signedBy() == key && (!strings.Contains(saved, touchName+"=") || strings.Contains(saved, touchName+"=1t."+key+"."))
		})
	}
}

// counted is how often tokens under a key opened, on each Envoy.
func (g *trio) counted(key string) (n [3]int) {
	for i, e := range g.envoys {
		n[i] = e.counter("key_" + strings.ReplaceAll(key, "-", "_"))
	}
	return n
}

// only fails unless, from now on, tokens under one key open on each Envoy, and none under the other.
func (g *trio) only(key, other string) {
	g.t.Helper()
	g.settle()
	was, not := g.counted(key), g.counted(other)
	g.everybody()
	g.settle()
	is, still := g.counted(key), g.counted(other)
	for i := range g.envoys {
		if is[i] <= was[i] || still[i] != not[i] {
			g.t.Errorf("Envoy %d: %s went from %d to %d, %s from %d to %d", i, key, was[i], is[i], other, not[i], still[i])
		}
	}
}

// settle waits until the VMs have told all that had happened by now.
func (g *trio) settle() {
	g.t.Helper()
	for i, e := range g.envoys {
		goal := int(g.asked[i].Load())
		eventually(g.t, "the counters are there", func() bool {
			return e.counter("key_2026_11")+e.counter("key_2026_12") >= goal
		})
	}
}

const (
	twoKeys = `"keys": [{"id": "2026-11", "secret_env": "KEY_A", "verify_until": "UNTIL"}, {"id": "2026-12", "secret_env": "KEY_B", "sign_from": "FROM"}], "login": {"url": "/login"}`
	tells   = `"headers": {"x-session-subject": "subject", "x-session-id": "id"}`
)

func keyTimes(config string, from, until time.Time) string {
	return strings.NewReplacer("FROM", from.Format(time.RFC3339), "UNTIL", until.Format(time.RFC3339)).Replace("{" + config + "}")
}

func twoSecrets() map[string]string { return map[string]string{"KEY_A": newKey(), "KEY_B": newKey()} }

// A key takes over from another while people are about, on three Envoys whose clocks differ. Nobody loses a
// session or a request, neither when the new one begins to sign nor when the old one ends.
func TestKeysUnderThreeClocks(t *testing.T) {
	for _, tt := range []struct{ name, fields, command string }{
		{"signed", `"cookie": {"mode": "signed"}`, `x-session: {"start":{"subject":"NAME"}}`},
		{"sealed", `"cookie": {"mode": "sealed"}`, `x-session: {"start":{"subject":"NAME","remember":true}}`},
		{"wrapped", `"cookie": {"mode": "sealed"}, "wrap": ["sessionid"]`, `set-cookie: sessionid=NAME; Path=/; HttpOnly`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
			from, until := now.Add(30*time.Minute), now.Add(90*time.Minute)
			// Nothing but the key makes renewals: rotate is longer than the test.
			config := strings.Join([]string{twoKeys, tells, passiveRule, tt.fields, `"timeouts": {"idle": "2h", "rotate": "6h"}, "remember": {"idle": "2h"}`}, ", ")
			g := newTrio(t, now, keyTimes(config, from, until), twoSecrets())
			checkThreeClocks(t, g, tt.command, from, until)
		})
	}
}

func checkThreeClocks(t *testing.T, g *trio, command string, from, until time.Time) {
	for i := range 12 {
		g.members = append(g.members, g.join(i%3, fmt.Sprintf("member-%d", i), command))
	}
	var sleepers []*member
	for i := range 3 {
		sleepers = append(sleepers, g.join(i, fmt.Sprintf("sleeper-%d", i), command))
	}
	waker := g.join(0, "waker", command)
	g.load(rand.Uint64())
	defer g.halt()
	g.everybody()
	g.under("2026-11")
	g.only("2026-11", "2026-12")

	g.cross(from, func(offset time.Duration) {
		for i, key := range g.signers(offset) {
			m := g.join(i, fmt.Sprintf("newcomer-%d", i), command)
			if m.signedBy() != key {
				t.Errorf("%v from sign_from, Envoy %d does not sign with %s: %s", offset, i, key, m.saved())
			}
			for place := range g.envoys {
				if err := m.visit(g, place, "/"); err != nil {
					t.Error(err)
				}
			}
		}
	})
	g.everybody()
	g.at(g.now.Add(2 * time.Minute)) // a touch of this minute says no more than the renewal does, and so may stay
	g.everybody()
	g.under("2026-12")
	g.only("2026-12", "2026-11")

	for next := g.now.Add(10 * time.Minute); next.Before(until); next = g.now.Add(10 * time.Minute) {
		g.at(next)
		g.everybody()
	}
	g.at(until.Add(-3 * time.Second))
	// Whoever comes back in time is told nothing and goes on.
	if err := waker.visit(g, 1, "/"); err != nil || waker.signedBy() != "2026-12" {
		t.Errorf("%v; %s", err, waker.saved())
	}
	g.cross(until, nil)
	g.everybody()
	g.under("2026-12")
	g.halt()
	if err := waker.visit(g, 2, "/"); err != nil {
		t.Error(err)
	}
	for i, m := range sleepers {
		there := m.through(g.envoys[i])
		untouched(t, ended(t, there, "invalid", m.name), m.name)
	}
}

// signers are the keys that sign on each, so long after one second of the true time.
func (g *trio) signers(offset time.Duration) (keys [3]string) {
	for i := range keys {
		keys[i] = "2026-11"
		if offset+ahead[i] >= 0 {
			keys[i] = "2026-12"
		}
	}
	return keys
}

// through is this browser at another Envoy: a host's cookies are shared by its ports.
func (c *client) through(e *envoy) *client {
	c.t.Helper()
	other := newClient(c.t, e, "h2")
	other.http.Jar, other.jar = c.jar, c.jar
	return other
}

// A proxy lacks the new key when the others sign with it: why the second step of a rotation is to wait. What
// the new key wrote says nothing to it, and it deletes what it cannot read.
func TestKeyThatOneProxyLacks(t *testing.T) {
	clk := newClock(t)
	clk.align(t)
	from := clk.now.Add(30 * time.Minute)
	all := keyTimes(twoKeys+", "+tells, from, from.Add(time.Hour))
	late := setup{app: newApp(t), clock: clk, env: twoSecrets(), discovery: filepath.Join(t.TempDir(), "curfew.json"),
		config: `{"keys": [{"id": "2026-11", "secret_env": "KEY_A"}], "login": {"url": "/login"}, ` + tells + `}`}
	lacks := start(t, late)
	has := start(t, setup{app: late.app, clock: clk, env: late.env, config: all})
	login := func(e *envoy) *client {
		c := newClient(t, e, "h2")
		c.login(`{"start":{"subject":"42"}}`)
		return c
	}

	old := login(has)
	for range 2 {
		clk.advance(t, 10*time.Minute)
		alive(t, old, "before")
	}
	young := login(has)
	clk.set(t, from)
	fresh := login(has)
	alive(t, old, "where the key is")
	alive(t, young, "where the key is")
	if got := []string{old.signedBy(), young.signedBy(), fresh.signedBy()}; strings.Join(got, " ") != "2026-12 2026-12 2026-12" {
		t.Fatalf("signed by %v", got)
	}

	untouched(t, ended(t, fresh.through(lacks), "invalid", "begun under the new key"), "begun under the new key")
	alive(t, fresh, "back where the key is")
	// Its renewal and its touch are under the new key, so only the login is left to count from.
	untouched(t, ended(t, old.through(lacks), "idle_timeout", "renewed under the new key"), "renewed under the new key")
	alive(t, old, "back where the key is")
	alive(t, young.through(lacks), "a login not longer ago than idle")
	alive(t, young, "back where the key is")
	alive(t, login(lacks).through(has), "begun under the old key")

	late.config = all
	httpFilters(t, late)
	fresh = login(has)
	eventually(t, "it gets the key", func() bool {
		return newBare(t, lacks, "h2").do("GET", "/", "", "Cookie: "+fresh.saved()).StatusCode == 200
	})
	alive(t, fresh.through(lacks), "when it has the key")
	alive(t, fresh, "and after")
}

// A page that only polls is no sign of a person, so it renews nothing, and its session ends by its idle
// timeout. So the longest of these is what an old key is kept for.
func TestPollsKeepTheOldKey(t *testing.T) {
	clk := newClock(t)
	clk.align(t)
	from, until := clk.now.Add(10*time.Minute), clk.now.Add(30*time.Minute)
	for _, tt := range []struct {
		name, idle string
		last       time.Duration // the last click, from sign_from on
		want       string        // why the session ends, "": it does not
		at         time.Time
	}{
		{"idle within verify_until", "15m", -time.Minute, "idle_timeout", from.Add(14 * time.Minute)},
		{"idle beyond verify_until", "1h", -time.Minute, "invalid", until.Add(time.Second)},
		{"a click under the new key", "1h", 0, "", time.Time{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clk.set(t, from.Add(-10*time.Minute))
			e := start(t, setup{app: newApp(t), clock: clk, env: twoSecrets(), config: keyTimes(twoKeys+", "+tells+", "+passiveRule, from, until)})
			c := newClient(t, e, "h2")
			c.login(`{"start":{"subject":"42","idle":"` + tt.idle + `"}}`)
			clk.set(t, from.Add(tt.last))
			alive(t, c, "the last click")
			for saved, step := c.saved(), time.Minute; !clk.now.After(until.Add(10 * time.Second)); clk.advance(t, step) {
				if clk.now.Equal(until) {
					step = time.Second
				}
				r := c.page("/poll")
				if r.StatusCode != 200 {
					if want := "/login?next=/poll&reason=" + tt.want; !clk.now.Equal(tt.at) || r.Header.Get("location") != want {
						t.Errorf("ended at %v: %s, want %v: %s", clk.now, r.Header.Get("location"), tt.at, want)
					}
					return
				}
				if c.do("GET", "/.session/status", ""); c.saved() != saved {
					t.Fatalf("a poll writes: %s, %s", saved, c.saved())
				}
			}
			if tt.want != "" {
				t.Errorf("it did not end")
			}
		})
	}
}

// Whatever keeps a session alive also writes it under the key that signs. So a session under an old key has
// had no activity since, and its idle timeout is all that the old key has to wait for.
func TestActivityReissues(t *testing.T) {
	clk := newClock(t)
	clk.align(t)
	from := clk.now.Add(10 * time.Minute)
	for _, extra := range []string{`"report_only": false`, `"report_only": true`} {
		e := start(t, setup{app: newApp(t), clock: clk, env: twoSecrets(), config: keyTimes(
			strings.Join([]string{twoKeys, tells, extra, `"rules": [{"path_prefix": "/poll", "activity": "passive"}, {"path_prefix": "/off", "session": "off"}, {"path_prefix": "/sudo", "max_auth_age": "1m"}]`}, ", "),
			from, from.Add(time.Hour))})
		for _, tt := range []struct {
			name, method, path, header string
			reissued, slid             bool
		}{
			{"a click", "GET", "/", "Accept: text/html", true, true},
			{"a form", "POST", "/save", "Accept: text/html", true, true},
			{"a script's call", "GET", "/api", "Sec-Fetch-Mode: cors", true, true},
			{"an image", "GET", "/logo", "Sec-Fetch-Dest: image", true, true},
			{"the login page", "GET", "/login", "Accept: text/html", false, false},
			{"an error of the app", "GET", "/?status=500", "Accept: text/html", true, true},
			{"a poll", "GET", "/poll", "Accept: */*", false, false},
			{"a poll that sets", "GET", telling("/poll", `x-session: {"set":{"a":1}}`), "Accept: */*", true, false},
			{"a poll that rotates", "GET", telling("/poll", `x-session: {"rotate":true}`), "Accept: */*", true, false},
			{"a prefetch", "GET", "/", "Sec-Purpose: prefetch", false, false},
			{"the client's word", "GET", "/", "x-session-activity: passive", false, false},
			{"what a cache may keep", "GET", telling("/", "Cache-Control: max-age=60"), "Accept: */*", false, false},
			{"where there is no session", "GET", "/off", "Accept: */*", false, false},
			{"status", "GET", "/.session/status", "Sec-Fetch-Site: same-origin", false, false},
			{"keepalive", "POST", "/.session/keepalive", "Sec-Fetch-Site: same-origin", true, true},
		} {
			if strings.Contains(tt.path, "/.session/") && strings.HasSuffix(extra, "true") {
				continue // the app has the folder then
			}
			clk.set(t, from.Add(-10*time.Minute))
			c := newClient(t, e, "h2")
			c.login(`{"start":{"subject":"42"}}`)
			clk.set(t, from)
			c.do(tt.method, tt.path, "", tt.header)
			if got := c.signedBy() == "2026-12"; got != tt.reissued {
				t.Errorf("%s, %s: under %s", extra, tt.name, c.signedBy())
			}
			clk.advance(t, 5*time.Minute)
			if got := c.page("/poll").subject() == "42"; got != tt.slid {
				t.Errorf("%s, %s: alive %v after its idle timeout", extra, tt.name, got)
			}
		}
	}
}

// A session that fills its cookie fits under another key only if that key's id is no longer.
func TestFullCookieUnderTheNextKey(t *testing.T) {
	clk := newClock(t)
	clk.align(t)
	from, until := clk.now.Add(10*time.Minute), clk.now.Add(30*time.Minute)
	for _, id := range []string{"b", "a-longer-key-id"} {
		e := start(t, setup{app: newApp(t), clock: clk, env: twoSecrets(), config: keyTimes(strings.NewReplacer("2026-11", "a", "2026-12", id).Replace(twoKeys), from, until)})
		clk.set(t, from.Add(-10*time.Minute))
		c := fullLogin(t, e)
		for clk.set(t, from); !clk.now.After(until); clk.advance(t, 10*time.Minute) {
			alive(t, c, id)
		}
		alive(t, c, "after verify_until, under "+id)
	}
}

// fullLogin is a browser with the largest session that there can be.
func fullLogin(t *testing.T, e *envoy) *client {
	t.Helper()
	c := newClient(t, e, "h2")
	for n := 2990; n > 2900; n-- {
		command := `x-session: {"start":{"subject":"42","data":{"d":"` + strings.Repeat("d", n) + `"}}}`
		if r := c.do("POST", "/login", url.Values{"set": {command}}.Encode()); r.StatusCode == 200 {
			return c
		}
	}
	t.Fatal("no login fits")
	return nil
}

// Of keys that begin to sign at the same time, or at once, the first in the list signs.
func TestKeysOfOneTime(t *testing.T) {
	clk := newClock(t)
	for keys, want := range map[string]string{
		`{"id": "a", "secret_env": "KEY_A"}, {"id": "b", "secret_env": "KEY_B"}`:                                         "a",
		`{"id": "b", "secret_env": "KEY_B"}, {"id": "a", "secret_env": "KEY_A"}`:                                         "b",
		`{"id": "a", "secret_env": "KEY_A", "verify_until": "2026-11-01T00:00:00Z"}, {"id": "b", "secret_env": "KEY_B"}`: "b",
	} {
		e := start(t, setup{app: newApp(t), clock: clk, env: twoSecrets(), config: keysConfig(withID, keys)})
		c := newClient(t, e, "h2")
		c.login(`{"start":{"subject":"42"}}`)
		if got := c.signedBy(); got != want {
			t.Errorf("%s: %s signs, want %s", keys, got, want)
		}
	}
}

// What a faster clock has just written is from the future; clock_skew is how much of that is believed.
func TestClocksBeyondSkew(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for skew, want := range map[string]string{"4s": "", "3s": "invalid"} {
		g := newTrio(t, now, keyTimes(twoKeys+", "+tells+`, "timeouts": {"clock_skew": "`+skew+`"}`, now.Add(-time.Hour), now.Add(time.Hour)), twoSecrets())
		m := g.join(2, "hasty", `x-session: {"start":{"subject":"NAME"}}`)
		if slow := m.through(g.envoys[0]); want == "" {
			alive(t, slow, skew)
		} else {
			untouched(t, ended(t, slow, want, skew), skew)
			alive(t, m.through(g.envoys[2]), skew+", back where it was written")
		}
	}
}

// Where no key signs, nobody gets in, and the log says why.
func TestNoKeySigns(t *testing.T) {
	clk := newClock(t)
	for _, times := range []string{`"sign_from": "2027-01-01T00:00:00Z"`, `"verify_until": "2026-11-01T00:00:00Z"`} {
		e := start(t, setup{app: newApp(t), clock: clk, env: twoSecrets(), config: keysConfig(withID, `{"id": "a", "secret_env": "KEY_A", `+times+`}`)})
		r := newClient(t, e, "h2").do("POST", "/login", url.Values{"set": {`x-session: {"start":{"subject":"42"}}`}}.Encode())
		if r.StatusCode != 502 || len(r.Header["Set-Cookie"]) != 0 {
			t.Errorf("%s: %d %v", times, r.StatusCode, r.Header)
		}
		eventually(t, "the log says why", func() bool { return strings.Contains(e.log.String(), "no key signs") })
	}
}

// A stream that is open does not ask its key again: it ends by its session's timeouts, or with its Envoy.
func TestStreamsOutliveTheirKey(t *testing.T) {
	s := newScene(t, setup{workers: 1, discovery: filepath.Join(t.TempDir(), "curfew.json")})
	c := s.in(`{"start":{"subject":"42"}}`)
	w := s.download("h2", "/download", c.saved())
	s.at("before", time.Minute, 1)
	s.setup.config = `{"keys": [{"id": "next", "secret": "` + newKey() + `"}], "login": {"url": "/login"}, "revoke": {"before": "2026-11-21T12:01:00Z"}}`
	httpFilters(t, s.setup)
	eventually(t, "the key is gone", func() bool {
		return strings.HasPrefix(newBare(t, s.e, "h2").do("GET", "/.session/status", "", "Cookie: "+c.saved()).body, `{"state":"invalid"`)
	})
	s.at("without the key", 2*time.Minute, 1)
	w.pass()
	s.at("idle", 15*time.Minute, 0)
	w.over()
}
