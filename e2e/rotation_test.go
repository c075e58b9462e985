package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const withID = `"headers": {"x-session-subject": "subject", "x-session-id": "id", "x-session-started": "started_at"}`

// id is the session's id, as the app was told.
func (r reply) id() string {
	if r.app == nil {
		return ""
	}
	return r.app.Header.Get("x-session-id")
}

// A session is sealed again when its cookie is old, as the same session.
func TestPeriodicRotation(t *testing.T) {
	clk := newClock(t)
	for _, mode := range []string{"signed", "sealed"} {
		e := begin(t, least(withID, `"timeouts": {"rotate": "10m"}`, `"cookie": {"mode": "`+mode+`"}`, passiveRule), clk)
		for _, proto := range protocols {
			t.Run(mode+" "+proto, func(t *testing.T) { checkRotation(t, e, clk, proto) })
		}
	}
}

func checkRotation(t *testing.T, e *envoy, clk *clock, proto string) {
	clk.align(t)
	c := newClient(t, e, proto)
	c.login(`{"start":{"subject":"42","data":{"cart":[1,2]}}}`)
	before, old := alive(t, c, "at once"), c.saved()
	clk.advance(t, 10*time.Minute-time.Second)
	if r := alive(t, c, "rotate-1 s"); c.saved() == old || len(r.Header.Values("set-cookie")) != 1 || !strings.HasPrefix(r.Header.Get("set-cookie"), touchName+"=") {
		t.Errorf("rotate-1 s: %q", r.Header.Values("set-cookie"))
	}
	clk.advance(t, time.Second)
	r := alive(t, c, "rotate")
	line, n := r.cookie(renewedName)
	_, touches := r.cookie(touchName)
	_, renewal, _ := strings.Cut(strings.SplitN(line, ";", 2)[0], "=")
	if n != 1 || touches != 1 || len(r.Header.Values("set-cookie")) != 2 || strings.HasPrefix(old, sessionName+"="+renewal) {
		t.Errorf("rotate: %q", r.Header.Values("set-cookie"))
	}
	after := alive(t, c, "with the new cookie")
	if len(after.Header.Values("set-cookie")) != 0 {
		t.Errorf("rotated twice: %q", after.Header.Values("set-cookie"))
	}
	for _, name := range []string{"x-session-subject", "x-session-id", "x-session-started"} {
		if was, is := before.app.Header.Get(name), after.app.Header.Get(name); was == "" || was != is {
			t.Errorf("%s was %q and is %q", name, was, is)
		}
	}
	// Requests that were on their way with the old cookie are the same session still.
	if r := newBare(t, e, proto).do("GET", "/", "", "Cookie: "+old); r.id() != before.id() {
		t.Errorf("the old cookie: %d %s", r.StatusCode, r.body)
	}
	// A renewal is worth nothing without the cookie that a logout deletes.
	if r := newBare(t, e, proto).do("GET", "/", "", "Cookie: "+renewedName+"="+renewal, "Accept: text/html"); !strings.HasSuffix(r.Header.Get("location"), "reason=absent") {
		t.Errorf("a renewal alone: %d %v", r.StatusCode, r.Header)
	}
	// The renewal counts as activity, so it ends by idle 15 minutes after it.
	clk.advance(t, 15*time.Minute-time.Second)
	if r := c.do("GET", "/poll", ""); r.subject() != "42" || len(r.Header.Values("set-cookie")) != 0 {
		t.Errorf("idle-1 s after a rotation, passively: %d %v", r.StatusCode, r.Header)
	}
	clk.advance(t, time.Second)
	ended(t, c, "idle_timeout", "idle after a rotation")
}

// A login makes an id that nobody has seen before, whatever came with it.
func TestLoginRotates(t *testing.T) {
	clk := newClock(t)
	e := begin(t, least(withID), clk)
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			const command = `{"start":{"subject":"42"}}`
			clk.align(t)
			c, attacker := newClient(t, e, proto), newClient(t, e, proto)
			attacker.login(`{"start":{"subject":"mallory"}}`)
			seen := map[string]bool{"": true}
			fresh := func(when string) {
				t.Helper()
				if id := alive(t, c, when).id(); seen[id] {
					t.Errorf("%s: id %q is not new", when, id)
				} else {
					seen[id] = true
				}
			}
			c.login(command)
			fresh("the first login")
			r := c.login(command)
			if _, n := r.cookie(sessionName); n != 1 || len(r.Header.Values("set-cookie")) != 1 {
				t.Errorf("a second login: %q", r.Header.Values("set-cookie"))
			}
			fresh("a login over a session")

			clk.advance(t, 2*time.Minute)
			alive(t, c, "slides")
			r = c.login(command)
			if line, n := r.cookie(touchName); n != 1 || !strings.HasPrefix(line, touchName+"=; Max-Age=0;") {
				t.Errorf("the touch of the session before stays: %q", r.Header.Values("set-cookie"))
			}
			fresh("a login over a touched session")

			seen[alive(t, attacker, "mallory").id()] = true
			victim := newClient(t, e, proto)
			planted := victim.do("POST", "/login", "set=x-session%3A+%7B%22start%22%3A%7B%22subject%22%3A%2242%22%7D%7D", "Cookie: "+attacker.saved())
			if _, n := planted.cookie(sessionName); n != 1 {
				t.Fatalf("login with a planted cookie: %d %v", planted.StatusCode, planted.Header)
			}
			r = alive(t, victim, "with a planted cookie")
			if r.subject() != "42" || seen[r.id()] {
				t.Errorf("the planted session lives on: %s", r.body)
			}
			eventually(t, "the log tells of the replaced session", func() bool {
				return strings.Contains(e.log.String(), `{"curfew":"session_end","reason":"replaced","session":"`)
			})
		})
	}
}

// A key whose time has come signs at once, and takes over what others signed.
func TestKeyTakesOver(t *testing.T) {
	clk := newClock(t)
	from, until := clk.now.Add(time.Hour), clk.now.Add(2*time.Hour)
	e := start(t, setup{
		app: newApp(t), clock: clk, env: map[string]string{"KEY_A": newKey(), "KEY_B": newKey()},
		config: keysConfig(withID,
			`{"id": "a", "secret_env": "KEY_A", "verify_until": "`+until.Format(time.RFC3339)+`"}`,
			`{"id": "b", "secret_env": "KEY_B", "sign_from": "`+from.Format(time.RFC3339)+`"}`),
	})
	clients := map[*client]string{}
	var saved []string
	clk.set(t, from.Add(-time.Second))
	for _, proto := range protocols {
		c := newClient(t, e, proto)
		c.login(`{"start":{"subject":"42"}}`)
		clients[c] = alive(t, c, "a second before").id()
		if !strings.HasPrefix(c.saved(), sessionName+"=1s.a.") {
			t.Errorf("a second before: %s", c.saved())
		}
		saved = append(saved, c.saved())
	}
	clk.set(t, from)
	for c, id := range clients {
		if r := alive(t, c, "the second it signs"); r.id() != id || c.signedBy() != "b" {
			t.Errorf("id %q became %q under %q", id, r.id(), c.saved())
		}
	}
	// A session that nobody renewed keeps what its key has left, and no more.
	for clk.advance(t, 10*time.Minute); !clk.now.After(until); clk.advance(t, 10*time.Minute) {
		for c := range clients {
			alive(t, c, "under the new key")
		}
	}
	for c, id := range clients {
		if r := c.page(telling("/", `x-session: {"set": {"a": 1}}`)); r.id() != id {
			t.Errorf("after verify_until id %q is %q", id, r.id())
		}
		if saved := c.saved(); strings.Contains(saved, renewedName) || !strings.Contains(saved, sessionName+"=1s.b.") {
			t.Errorf("the next write leaves %q", saved)
		}
		if r := alive(t, c, "after a write"); r.id() != id {
			t.Errorf("after a write id %q is %q", id, r.id())
		}
	}
	for i, proto := range protocols {
		if r := newBare(t, e, proto).do("GET", "/", "", "Accept: text/html", "Cookie: "+saved[i]); !strings.HasSuffix(r.Header.Get("location"), "&reason=invalid") {
			t.Errorf("after verify_until: %d %v", r.StatusCode, r.Header)
		}
	}
}

// signedBy is the id of the key that this browser's session is under: its renewal's, where it has one.
func (c *client) signedBy() string {
	c.t.Helper()
	_, token, ok := strings.Cut(c.saved(), renewedName+"=")
	if ok {
		_, token, _ = strings.Cut(token, ".") // what it renews
	} else {
		_, token, _ = strings.Cut(c.saved(), sessionName+"=")
	}
	if parts := strings.SplitN(token, ".", 3); len(parts) == 3 {
		return parts[1]
	}
	return ""
}

func keysConfig(fields string, keys ...string) string {
	return `{"login": {"url": "/login"}, ` + fields + `, "keys": [` + strings.Join(keys, ", ") + `]}`
}

// fleet is two places where an Envoy is, or was.
type fleet [2]atomic.Pointer[envoy]

// visitor is a browser that uses both Envoys in turn: cookies belong to hosts, not ports.
type visitor struct {
	*client
	subject string
	id      string // of the session, once it is known
	visits  atomic.Int64
	refused atomic.Int64
}

// run visits until stop, or something is not as it should be. A refused connection goes on with the
// other Envoy, as behind any load balancer; nothing else is tried again.
func (v *visitor) run(f *fleet, stop <-chan struct{}) error {
	// A constant load, not all that fits: Envoys must start beside it.
	pace := time.NewTicker(25 * time.Millisecond)
	defer pace.Stop()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return nil
		case <-pace.C:
		}
		err := v.visit(f[i%2].Load())
		if errors.Is(err, syscall.ECONNREFUSED) {
			v.refused.Add(1)
			err = v.visit(f[(i+1)%2].Load())
		}
		if err != nil {
			return fmt.Errorf("%s, visit %d: %w", v.subject, i, err)
		}
		v.visits.Add(1)
	}
}

func (v *visitor) visit(e *envoy) error {
	_, port, _ := strings.Cut(e.https, ":")
	res, err := v.http.Get("https://localhost:" + port + "/")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var app seen
	if err := json.NewDecoder(res.Body).Decode(&app); err != nil {
		return fmt.Errorf("status %d, location %q: %w", res.StatusCode, res.Header.Get("location"), err)
	}
	if who := app.Header.Get("x-session-subject"); res.StatusCode != 200 || who != v.subject {
		return fmt.Errorf("status %d, subject %q", res.StatusCode, who)
	}
	id := app.Header.Get("x-session-id")
	if v.id == "" {
		v.id = id
	}
	if id == "" || id != v.id {
		return fmt.Errorf("session %q became %q", v.id, id)
	}
	return nil
}

// rollout is a fleet under load.
type rollout struct {
	t        *testing.T
	clock    *clock
	app      string
	env      map[string]string
	fleet    fleet
	visitors []*visitor
	stop     chan struct{}
	failed   chan error
	wg       sync.WaitGroup
}

// put starts an Envoy at a place.
func (r *rollout) put(place int, config string) {
	r.t.Helper()
	r.fleet[place].Store(start(r.t, setup{app: r.app, env: r.env, clock: r.clock, config: config}))
}

// replace rolls a config out, one Envoy after the other: each stops listening, lets its connections
// end, and is gone for a while before the next one is there.
func (r *rollout) replace(config string) {
	r.t.Helper()
	for place := range r.fleet {
		old := r.fleet[place].Load()
		old.drain()
		r.everybody()
		old.stop()
		r.put(place, config)
		r.everybody()
		r.clock.advance(r.t, time.Minute)
		r.everybody()
	}
}

// everybody waits until each visitor has been at both Envoys once more.
func (r *rollout) everybody() {
	r.t.Helper()
	goals := make([]int64, len(r.visitors))
	for i, v := range r.visitors {
		goals[i] = v.visits.Load() + 3 // the first of these may have begun before
	}
	for i, v := range r.visitors {
		eventually(r.t, v.subject+" goes on", func() bool {
			select {
			case err := <-r.failed:
				r.t.Fatal(err)
			default:
			}
			return v.visits.Load() >= goals[i]
		})
	}
}

// drain stops Envoy as an orchestrator does: no new connection, and a last response on each old one.
func (e *envoy) drain() {
	e.t.Helper()
	for _, path := range []string{"/drain_listeners", "/healthcheck/fail"} {
		res, err := http.Post("http://"+e.admin+path, "", nil)
		if err != nil {
			e.t.Fatal(err)
		}
		res.Body.Close()
	}
	eventually(e.t, "Envoy's connections end", func() bool {
		return strings.Contains(e.adminGet("/stats?filter=^http.https.downstream_cx_active$"), ": 0")
	})
}

// newRollout starts two Envoys and logs the visitors in.
func newRollout(t *testing.T, clk *clock, visitors int, config string) *rollout {
	t.Helper()
	r := &rollout{
		t: t, clock: clk, app: newApp(t), env: map[string]string{"KEY_A": newKey(), "KEY_B": newKey()},
		stop: make(chan struct{}), failed: make(chan error, visitors),
	}
	for place := range r.fleet {
		r.put(place, config)
	}
	for i := range visitors {
		proto := protocols[i/2%2]
		v := &visitor{client: newClient(t, r.fleet[i%2].Load(), proto), subject: fmt.Sprintf("%s visitor %d", proto, i)}
		v.login(`{"start":{"subject":"` + v.subject + `"}}`)
		r.visitors = append(r.visitors, v)
	}
	return r
}

// load lets all visitors visit until halt.
func (r *rollout) load() {
	for _, v := range r.visitors {
		r.wg.Go(func() {
			if err := v.run(&r.fleet, r.stop); err != nil {
				r.failed <- err
			}
		})
	}
}

// under fails unless every visitor's session is signed by that key.
func (r *rollout) under(key string) {
	r.t.Helper()
	for _, v := range r.visitors {
		if v.signedBy() != key {
			r.t.Errorf("%s does not come with a session under %s: %s", v.subject, key, v.saved())
		}
	}
}

// Keys change under load, from `a` over both to `b`, on two Envoys one after the other. Nobody loses
// a session or a request, and in the end `a` opens nothing.
func TestKeyRollout(t *testing.T) {
	const visitors = 32 // 16 for each protocol
	clk := newClock(t)
	from := clk.now.Add(30 * time.Minute) // before the periodic rotation would renew anything
	a := `{"id": "a", "secret_env": "KEY_A"}`
	b := `{"id": "b", "secret_env": "KEY_B", "sign_from": "` + from.Format(time.RFC3339) + `"}`
	r := newRollout(t, clk, visitors, keysConfig(withID, a))
	saved := r.visitors[0].saved()
	r.under("a")
	r.load()
	defer r.halt()

	r.everybody()
	r.replace(keysConfig(withID, a, b))
	r.under("a")
	for clk.advance(t, 10*time.Minute); clk.now.Before(from); clk.advance(t, 10*time.Minute) {
		r.everybody()
	}
	r.everybody()
	r.under("b")
	r.replace(keysConfig(withID, b))
	r.halt()

	for _, v := range r.visitors {
		if v.refused.Load() == 0 {
			t.Errorf("%s was never refused: the load missed the restarts", v.subject)
		}
	}
	for place := range r.fleet {
		for _, proto := range protocols {
			bare := newBare(t, r.fleet[place].Load(), proto)
			if got := bare.do("GET", "/", "", "Accept: text/html", "Cookie: "+saved); got.StatusCode != 302 || got.Header.Get("location") != "/login?next=/&reason=invalid" {
				t.Errorf("a page under a: %d %v", got.StatusCode, got.Header)
			}
			if got := bare.do("GET", "/", "", "Cookie: "+saved); got.StatusCode != 401 {
				t.Errorf("a call under a: %d", got.StatusCode)
			}
		}
	}
}

// halt ends the load and reports what went wrong in it.
func (r *rollout) halt() {
	select {
	case <-r.stop:
		return
	default:
		close(r.stop)
	}
	r.wg.Wait()
	close(r.failed)
	for err := range r.failed {
		r.t.Error(err)
	}
}
