package e2e

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// event is one of the filter's log lines.
type event struct {
	Curfew, Reason, Session string
	Next, Subject           string
	worker                  string
}

// thread is how Envoy's log says who wrote a line.
var thread = regexp.MustCompile(`^\[[^]]*\]\[(\d+)\]`)

// events reads them from Envoy's log; each is the whole of one line's message.
func (e *envoy) events(t *testing.T) (out []event) {
	t.Helper()
	for _, line := range strings.Split(e.log.String(), "\n") {
		at := strings.Index(line, `{"curfew"`)
		if at < 0 {
			continue
		}
		var ev event
		d := json.NewDecoder(strings.NewReader(line[at:]))
		d.DisallowUnknownFields()
		if err := d.Decode(&ev); err != nil || d.More() {
			t.Fatalf("not one JSON object: %q: %v", line[at:], err)
		}
		if m := thread.FindStringSubmatch(line); m != nil {
			ev.worker = m[1]
		}
		out = append(out, ev)
	}
	return out
}

// access is the access log's reasons, each with method and status before it.
func (e *envoy) access() (out []string) {
	for _, line := range strings.Split(e.log.String(), "\n") {
		if rest, ok := strings.CutPrefix(line, "ACCESS "); ok {
			out = append(out, rest)
		}
	}
	return out
}

const eventsConfig = `{"keys": [{"id": "k1", "secret_env": "CURFEW_KEY"}], "login": {"url": "/login"}, "rules": [
	{"path_prefix": "/off", "session": "off"}, {"path_prefix": "/maybe", "session": "optional"},
	{"path_prefix": "/admin", "require": {"data.role": ["admin"]}}]}`

var hashed = regexp.MustCompile(`^[0-9a-f]{16}$`)

// Each start and each end of a session is one line, with the same hash in both; nothing in it can
// be used as a session.
func TestEvents(t *testing.T) {
	clk := newClock(t)
	e := start(t, setup{app: newApp(t), env: map[string]string{"CURFEW_KEY": newKey()}, config: eventsConfig, clock: clk})
	for _, proto := range overTLS {
		for _, end := range []struct {
			reason string
			happen func(c *client)
		}{
			{"logged_out", func(c *client) { c.do("POST", "/logout", "") }},
			{"ended", func(c *client) { c.do("GET", "/page?set=x-session:+{\"end\":true}", "") }},
			{"replaced", func(c *client) { c.login(`{"start":{"subject":"43"}}`) }},
			{"idle_timeout", func(c *client) { clk.advance(t, 15*time.Minute); c.page("/page"); c.page("/page") }},
			{"absolute_timeout", func(c *client) {
				c.login(`{"start":{"subject":"43","absolute":"10m"}}`)
				clk.advance(t, 10*time.Minute)
				c.page("/page")
			}},
		} {
			t.Run(proto+"/"+end.reason, func(t *testing.T) {
				before := len(e.events(t))
				c := newClient(t, e, proto)
				c.login(`{"start":{"subject":"42"}}`)
				end.happen(c)
				got := waitEvents(t, e, before, end.reason)
				first := got[0]
				if first.Curfew != "session_start" || first.Reason != "started" || !hashed.MatchString(first.Session) {
					t.Errorf("start: %+v", first)
				}
				var ends []event
				for _, ev := range got {
					if ev.Curfew == "session_end" && ev.Reason == end.reason {
						ends = append(ends, ev)
					}
				}
				if len(ends) != 1 || (end.reason != "absolute_timeout" && ends[0].Session != first.Session) {
					t.Errorf("%+v ended by %+v", first, ends)
				}
			})
		}
	}
}

// waitEvents waits until an end with that reason is in the log, and returns all since before.
func waitEvents(t *testing.T, e *envoy, before int, reason string) (got []event) {
	t.Helper()
	eventually(t, "an end by "+reason, func() bool {
		got = e.events(t)[before:]
		for _, ev := range got {
			if ev.Curfew == "session_end" && ev.Reason == reason {
				return true
			}
		}
		return false
	})
	return got
}

// The access log says why, the response's reason before the request's; a live session is the absence
// of one.
func TestAccessLog(t *testing.T) {
	e := start(t, setup{app: newApp(t), env: map[string]string{"CURFEW_KEY": newKey()}, config: eventsConfig})
	for _, proto := range overTLS {
		c := newClient(t, e, proto)
		for _, step := range []struct {
			do   func()
			want string
		}{
			{func() { c.page("/page") }, "GET 302 reason=absent"},
			{func() { c.do("GET", "/page", "") }, "GET 401 reason=absent"},
			{func() { c.page("/off") }, "GET 200 reason=off"},
			{func() { c.page("/maybe") }, "GET 200 reason=absent"},
			{func() { c.login(`{"start":{"subject":"42"}}`) }, "POST 303 reason=started"},
			{func() { c.page("/page") }, "GET 200 reason=-"},
			{func() { c.page("/admin") }, "GET 403 reason=forbidden"},
			{func() { c.do("GET", "/logout", "") }, "GET 405 reason=logout_refused"},
			{func() { c.do("GET", "/page?set=x-session:+nonsense", "") }, "GET 502 reason=bad_command"},
			{func() { c.do("GET", "/page?set=x-session:+{\"end\":true}", "") }, "GET 200 reason=ended"},
			{func() { c.do("GET", "/page", "", "Cookie: "+hostName+"=x") }, "GET 401 reason=invalid"},
			{func() { c.do("POST", "/logout", "") }, "POST 303 reason=logged_out"},
		} {
			before := len(e.access())
			step.do()
			eventually(t, "one line in the access log", func() bool { return len(e.access()) == before+1 })
			if got := e.access()[before]; got != step.want {
				t.Errorf("%s: %q, want %q", proto, got, step.want)
			}
		}
	}
}

// Counters agree with what clients saw, over both workers.
func TestCounters(t *testing.T) {
	e := start(t, setup{app: newApp(t), env: map[string]string{"CURFEW_KEY": newKey()}, config: eventsConfig})
	want := map[string]int{}
	expect := func(r reply, status int, reasons ...string) {
		t.Helper()
		if r.StatusCode != status {
			t.Fatalf("%d, want %d: %s", r.StatusCode, status, r.body)
		}
		for _, reason := range reasons {
			want[reason]++
		}
	}
	for i := range 25 {
		c := newClient(t, e, overTLS[i%2])
		expect(c.page("/page"), 302, "absent")
		expect(c.page("/off"), 200, "off")
		expect(c.do("OPTIONS", "/page", "", "Origin: https://a.example", "Access-Control-Request-Method: PUT"), 200, "preflight")
		expect(c.do("GET", "/page", "", "Cookie: "+hostName+"=x"), 401, "invalid")
		expect(c.login(`{"start":{"subject":"42"}}`), 303, "absent", "started")
		expect(c.page("/page"), 200, "ok")
		expect(c.page("/admin"), 403, "forbidden")
		expect(c.login(`{"start":{"subject":"43"}}`), 303, "ok", "started", "replaced")
		expect(c.do("GET", "/logout", ""), 405, "logout_refused")
		expect(c.do("GET", "/page?set=x-session:+[]", ""), 502, "ok", "bad_command")
		if i%2 == 0 {
			expect(c.do("POST", "/logout", ""), 303, "logged_out")
		} else {
			expect(c.do("GET", "/page?set=x-session:+{\"end\":true}", ""), 200, "ok", "ended")
		}
		expect(c.page("/maybe"), 200, "absent")
	}
	for reason, n := range want {
		eventually(t, fmt.Sprintf("curfew_%s is %d", reason, n), func() bool { return e.counter(reason) == n })
	}
	for _, reason := range []string{"idle_timeout", "absolute_timeout", "revoked", "auth_too_old", "unreadable", "touched", "renewed"} {
		if n := e.counter(reason); n != 0 {
			t.Errorf("curfew_%s is %d", reason, n)
		}
	}
	if got := strings.Count(e.log.String(), `"session_end"`); got != want["logged_out"]+want["ended"]+want["replaced"] {
		t.Errorf("%d lines of ends, counters %v", got, want)
	}
}

// told is what the lines of a run must say.
type told struct {
	mu       sync.Mutex
	counters map[string]int
	starts   map[string]string          // reason by session
	rotates  map[string]string          // next by session
	ends     map[string]map[string]bool // reasons by session
	subjects map[string]string          // by session
}

func newTold() *told {
	return &told{counters: map[string]int{}, starts: map[string]string{}, rotates: map[string]string{}, ends: map[string]map[string]bool{}, subjects: map[string]string{}}
}

func (w *told) count(reasons ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, reason := range reasons {
		w.counters[reason]++
	}
}

func (w *told) end(session, reason string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ends[session] == nil {
		w.ends[session] = map[string]bool{}
	}
	w.ends[session][reason] = true
}

// mixed is a run of people who do this and that at random. The clock stands still between its moves, on
// whole minutes.
type mixed struct {
	told    *told
	now     time.Time
	revoked map[string]time.Time // subjects whose sessions from before then are over at that time
	sent    atomic.Int64
}

const mixIdle, mixAbsolute = 15 * time.Minute, 20 * time.Minute

// guest is one browser, and what the test knows of its session.
type guest struct {
	*mixed
	*client
	rand          *rand.Rand
	session       string // hash of its id; "" for none
	subject       string
	started, seen time.Time
	refused       bool
}

// dead is why the session is over by now, or "".
func (v *guest) dead() string {
	idle, absolute := v.seen.Add(mixIdle), v.started.Add(mixAbsolute)
	revoked := v.revoked[v.subject]
	switch {
	case v.session == "":
		return ""
	case !v.now.Before(revoked) && v.started.Before(revoked):
		return "revoked"
	case !v.now.Before(idle) && !idle.After(absolute):
		return "idle_timeout"
	case !v.now.Before(absolute):
		return "absolute_timeout"
	}
	return ""
}

// meets notes what a request to a path open to all meets, and reports whether that is a live session.
func (v *guest) meets() bool {
	v.sent.Add(1)
	reason := v.dead()
	switch {
	case v.session == "":
		v.told.count("absent")
	case reason == "":
		v.told.count("ok")
		return true
	default:
		v.told.count(reason)
		v.told.end(v.session, reason)
	}
	return false
}

// gone: the browser has no session any more.
func (v *guest) gone() { v.session, v.subject, v.refused = "", "", false }

// expect holds a status against what it should be.
func (v *guest) expect(r reply, status int) reply {
	v.t.Helper()
	if r.StatusCode != status {
		v.t.Errorf("%d %v, want %d; %+v", r.StatusCode, r.Header, status, v)
	}
	return r
}

// begin: the browser has a session whose id the test does not know yet.
func (v *guest) begin(subject string) {
	v.session, v.subject, v.started, v.seen, v.refused = unknown, subject, v.now, v.now, false
}

const unknown = "not known yet"

// look loads a page that is open to all, and holds what the app sees against what the test knows.
func (v *guest) look() {
	v.t.Helper()
	live := v.meets()
	r := v.expect(v.page("/maybe"), 200)
	d := r.document(v.t)
	switch {
	case !live && d != nil:
		v.t.Errorf("a dead session lives on: %+v", d)
	case live && (d == nil || d.Subject != v.subject || d.StartedAt != v.started.Unix()):
		v.t.Errorf("the app saw %+v of %+v", d, v)
	case live && v.refused != (r.app.Header.Get("x-session-error") == "too_large"):
		v.t.Errorf("refused is %v: %v", v.refused, r.app.Header)
	}
	if !live || d == nil {
		v.gone()
		return
	}
	id, _ := base64.RawURLEncoding.DecodeString(d.ID)
	sum := sha256.Sum256(id)
	hash := hex.EncodeToString(sum[:8])
	if v.session != unknown && v.session != hash {
		v.t.Errorf("the id changed: %+v of %+v", d, v)
	}
	v.session, v.seen = hash, v.now
	v.told.mu.Lock()
	defer v.told.mu.Unlock()
	v.told.subjects[hash] = v.subject
}

func (v *guest) logIn() {
	old, live := v.session, v.meets()
	subject := mixSubject(v.rand.IntN(mixSubjects))
	v.login(`{"start": {"subject": "` + subject + `", "keep": true}}`)
	if live {
		v.told.count("replaced")
		v.told.end(old, "replaced")
	}
	v.starts("started", subject, false)
}

func (v *guest) starts(reason, subject string, refused bool) {
	v.told.count(reason)
	v.begin(subject)
	v.refused = refused
	v.look()
	v.told.mu.Lock()
	defer v.told.mu.Unlock()
	v.told.starts[v.session] = reason
}

func (v *guest) set() {
	live := v.meets()
	v.expect(v.command("/maybe", fmt.Sprintf(`{"set": {"n": %d}}`, v.rand.Int64())), 200)
	if !live {
		v.starts("opened", "", false)
		return
	}
	v.told.count("changed")
	v.refused = false
	v.look()
}

func (v *guest) rotate() {
	old := v.session
	if !v.meets() {
		v.told.count("bad_command")
		v.expect(v.command("/maybe", `{"rotate": true}`), 502)
		v.look()
		return
	}
	v.told.count("rotated")
	v.expect(v.command("/maybe", `{"rotate": true}`), 200)
	v.session, v.refused = unknown, false
	v.look()
	v.told.mu.Lock()
	defer v.told.mu.Unlock()
	v.told.rotates[old] = v.session
}

func (v *guest) end() {
	v.told.count("ended")
	if old := v.session; v.meets() {
		v.told.end(old, "ended")
	}
	v.expect(v.command("/maybe", `{"end": true}`), 200)
	v.gone()
}

func (v *guest) logOut() {
	v.sent.Add(1)
	v.told.count("logged_out")
	if v.session != "" {
		v.told.end(v.session, "logged_out")
	}
	v.expect(v.do("POST", "/logout", ""), 303)
	v.gone()
}

func (v *guest) blunder() {
	v.meets()
	v.told.count("bad_command")
	v.expect(v.command("/maybe", `{"rotate": false}`), 502)
	v.look()
}

func (v *guest) setTooMuch() {
	live := v.meets()
	v.told.count("too_large")
	v.expect(v.command("/maybe", tooMuch), 200)
	if !live {
		v.starts("opened", "", true)
		return
	}
	v.refused = true
	v.look()
}

// visit is a page that needs a login.
func (v *guest) visit() {
	v.sent.Add(1)
	reason, status := v.dead(), 302
	switch {
	case v.session == "":
		v.told.count("absent")
	case reason != "":
		v.told.count(reason)
		v.told.end(v.session, reason)
		v.gone()
	case v.subject == "":
		v.told.count("anonymous")
	default:
		v.told.count("ok")
		v.seen, status = v.now, 200
	}
	v.expect(v.page("/page"), status)
}

// replay sends the cookies of a dead session over connections of their own.
func (v *guest) replay() {
	if v.dead() == "" {
		v.visit()
		return
	}
	for range 3 {
		v.meets()
		c := *v.client
		c.http = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}} //nolint:gosec // as newClient's
		v.expect(c.do("GET", "/maybe", "", "Cookie: "+v.saved()), 200)
	}
	v.look()
}

// act does one thing at random.
func (v *guest) act() {
	acts := []func(){v.logIn, v.logIn, v.set, v.set, v.rotate, v.end, v.logOut, v.blunder, v.setTooMuch, v.visit, v.visit, v.visit, v.replay, v.replay}
	acts[v.rand.IntN(len(acts))]()
}

// run lets 40 people, four at a time, do this and that until so many requests are sent.
func (m *mixed) run(t *testing.T, e *envoy, clk *clock, seed uint64, requests int64) {
	const lanes, each = 4, 10
	r := rand.New(rand.NewPCG(seed, 0))
	var people [lanes][each]*guest
	for i := range people {
		for k := range people[i] {
			people[i][k] = &guest{mixed: m, client: newClient(t, e, overTLS[k%2]), rand: rand.New(rand.NewPCG(seed, uint64(1+i*each+k)))}
		}
	}
	for m.sent.Load() < requests && !t.Failed() {
		var wg sync.WaitGroup
		for i := range people {
			wg.Go(func() {
				for range each {
					people[i][people[i][0].rand.IntN(each)].act()
				}
			})
		}
		wg.Wait()
		clk.advance(t, time.Duration([]int{1, 1, 2, 3, 5, 6, 8}[r.IntN(7)])*time.Minute)
		m.now = clk.now
	}
}

// mixSubjects is how many there are; each is revoked once, one after the other.
const mixSubjects = 40

func mixSubject(i int) string { return fmt.Sprintf("Zoë %d", i) }

func mixConfig(m *mixed, logSubject bool) string {
	revoke, _ := json.Marshal(m.revoked)
	return least(whole, `"anonymous": true, "rules": [{"path": "/maybe", "session": "optional"}]`,
		fmt.Sprintf(`"timeouts": {"idle": "%.0fs", "absolute": "%.0fs"}`, mixIdle.Seconds(), mixAbsolute.Seconds()),
		fmt.Sprintf(`"revoke": {"subjects": %s}, "log_subject": %v`, revoke, logSubject))
}

// Ten thousand requests of all kinds, and each line of the log and each counter is what it must be.
// CURFEW_SEED repeats a run.
func TestMixedEvents(t *testing.T) {
	for _, tt := range []struct {
		name       string
		logSubject bool
		requests   int64
	}{{"without subjects", false, 10_000}, {"with subjects", true, 1000}} {
		t.Run(tt.name, func(t *testing.T) {
			clk, seed := newClock(t), uint64(time.Now().UnixNano())
			if text := os.Getenv("CURFEW_SEED"); text != "" {
				_, _ = fmt.Sscan(text, &seed)
			}
			t.Logf("CURFEW_SEED=%d", seed)
			m := &mixed{told: newTold(), now: clk.now, revoked: map[string]time.Time{}}
			for i := range mixSubjects {
				m.revoked[mixSubject(i)] = clk.now.Add(time.Duration(i*5) * time.Minute)
			}
			e := begin(t, mixConfig(m, tt.logSubject), clk)
			m.run(t, e, clk, seed, tt.requests)
			m.told.check(t, e, tt.logSubject)
			t.Logf("%d requests: %v", m.sent.Load(), m.told.counters)
			if tt.requests >= 10_000 && len(m.told.counters) != 15 {
				t.Errorf("the mix missed a reason")
			}
			e.noTrap(t)
		})
	}
}

// check holds the log and the counters against what was to be told.
func (w *told) check(t *testing.T, e *envoy, logSubject bool) {
	t.Helper()
	for reason, n := range w.counters {
		eventually(t, fmt.Sprintf("curfew_%s is %d", reason, n), func() bool { return e.counter(reason) == n })
	}
	lines, ends, once := map[string]int{}, map[string]int{}, map[event]bool{}
	for _, ev := range e.events(t) {
		lines[ev.Curfew]++
		if once[ev] {
			t.Errorf("one worker told twice: %+v", ev)
		}
		once[ev] = true
		if ev.Curfew == "session_end" {
			ends[ev.Session]++
		}
		if !w.expects(ev) {
			t.Errorf("not to be told: %+v", ev)
		}
		if want := w.subjects[ev.Session]; logSubject && ev.Subject != want || !logSubject && ev.Subject != "" {
			t.Errorf("the subject is not %q: %+v", want, ev)
		}
	}
	if lines["session_start"] != len(w.starts) || lines["session_rotate"] != len(w.rotates) || len(ends) != len(w.ends) {
		t.Errorf("%v: want %d starts, %d new ids, and ends of %d sessions, not %d", lines, len(w.starts), len(w.rotates), len(w.ends), len(ends))
	}
	for session, reasons := range w.ends {
		byResponse := reasons["ended"] || reasons["replaced"] || reasons["logged_out"]
		if n := ends[session]; n < 1 || n > 2 || byResponse && n != 1 {
			t.Errorf("%s, over by %v, has %d ends", session, reasons, n)
		}
	}
	for kind, n := range lines {
		eventually(t, fmt.Sprintf("curfew_%s is %d", kind, n), func() bool { return e.counter(kind) == n })
	}
}

// expects reports whether a line tells what happened.
func (w *told) expects(ev event) bool {
	switch ev.Curfew {
	case "session_start":
		return ev.Next == "" && w.starts[ev.Session] == ev.Reason
	case "session_rotate":
		return ev.Reason == "rotated" && w.rotates[ev.Session] == ev.Next
	}
	return ev.Curfew == "session_end" && ev.Next == "" && w.ends[ev.Session][ev.Reason]
}
