package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// slowApp echoes as newApp's does, but keeps requests with `hold=NAME` until that name is released.
type slowApp struct {
	addr    string
	arrived atomic.Int64 // held ones
	mu      sync.Mutex
	gates   map[string]chan struct{}
}

func newSlowApp(t testing.TB) *slowApp {
	a := &slowApp{gates: map[string]chan struct{}{}}
	srv := httptest.NewServer(a)
	t.Cleanup(srv.Close)
	a.addr = srv.Listener.Addr().String()
	return a
}

func (a *slowApp) gate(name string) chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gates[name] == nil {
		a.gates[name] = make(chan struct{})
	}
	return a.gates[name]
}

func (a *slowApp) release(name string) { close(a.gate(name)) }

// ServeHTTP implements http.Handler.
func (a *slowApp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	q, _ := url.ParseQuery(r.URL.RawQuery + "&" + string(body))
	if name := q.Get("hold"); name != "" {
		gate := a.gate(name)
		a.arrived.Add(1)
		select {
		case <-gate:
		case <-r.Context().Done():
			return
		}
	}
	for _, line := range q["set"] {
		name, value, _ := strings.Cut(line, ": ")
		w.Header().Add(name, value)
	}
	if q.Get("status") == "303" {
		w.WriteHeader(http.StatusSeeOther)
	}
	_ = json.NewEncoder(w).Encode(seen{r.Method, r.URL.RequestURI(), r.Header})
}

// held is requests that are under way, until the app lets them go.
type held struct {
	app     *slowApp
	gate    string
	replies chan reply
}

// hold sends n requests and waits until the app has them all.
func (a *slowApp) hold(t testing.TB, c *client, gate string, n int, query string) *held {
	t.Helper()
	h := &held{a, gate, make(chan reply, n)}
	goal := a.arrived.Load() + int64(n)
	for range n {
		go func() {
			res, err := c.http.Get(c.base + "/slow?hold=" + url.QueryEscape(gate) + query)
			if err != nil {
				t.Error(err)
				h.replies <- reply{}
				return
			}
			h.replies <- readReply(t, res)
		}()
	}
	eventually(t, fmt.Sprintf("the app has %d requests", n), func() bool { return a.arrived.Load() >= goal || t.Failed() })
	return h
}

// release lets them go and returns the responses once the browser has all.
func (h *held) release() (all []reply) {
	h.app.release(h.gate)
	for range cap(h.replies) {
		if r := <-h.replies; r.Response != nil {
			all = append(all, r)
		}
	}
	return all
}

// What a response brings beside what the app wrote carries nothing of what the session held when its request
// came, be the app prompt or slow: whatever was written meanwhile stays.
func TestSlowResponses(t *testing.T) {
	for mode, tag := range map[string]string{"signed": "1s.", "sealed": "1e."} {
		t.Run(mode, func(t *testing.T) {
			clk, app := newClock(t), newSlowApp(t)
			b, c := clk.now.Add(2*time.Hour), clk.now.Add(4*time.Hour)
			e := start(t, setup{
				app: app.addr, clock: clk, env: map[string]string{"KEY_A": newKey(), "KEY_B": newKey(), "KEY_C": newKey()},
				config: keysConfig(whole+`, "cookie": {"mode": "`+mode+`"}, "timeouts": {"rotate": "10m"}`, `{"id": "a", "secret_env": "KEY_A"}`,
					`{"id": "b", "secret_env": "KEY_B", "sign_from": "`+b.Format(time.RFC3339)+`"}`,
					`{"id": "c", "secret_env": "KEY_C", "sign_from": "`+c.Format(time.RFC3339)+`"}`),
			})
			for _, due := range []struct {
				what         string
				begins       time.Time // zero: at once
				waits, takes time.Duration
				renewals     int
				key          string
			}{
				{"a touch", time.Time{}, 2 * time.Minute, 0, 0, "a"},
				{"a touch, slowly", time.Time{}, 2 * time.Minute, 2 * time.Second, 0, "a"},
				{"a renewal", time.Time{}, 10 * time.Minute, 0, 1, "a"},
				{"a renewal, slowly", time.Time{}, 10 * time.Minute, 2 * time.Second, 1, "a"},
				{"another key", b.Add(-2 * time.Minute), 2 * time.Minute, 0, 1, "b"},
				{"another key, slowly", c.Add(-2 * time.Minute), 2 * time.Minute, 2 * time.Second, 1, "c"},
			} {
				t.Run(due.what, func(t *testing.T) {
					if !due.begins.IsZero() {
						clk.set(t, due.begins)
					}
					for _, c := range checkSlow(t, e, app, clk, due.waits, due.takes, due.renewals) {
						if !strings.Contains(c.saved(), sessionName+"="+tag+due.key+".") {
							t.Errorf("what was written last is not under %s: %s", due.key, c.saved())
						}
					}
				})
			}
		})
	}
}

// checkSlow has 50 requests under way while two others write, and lets half of the slow ones go after
// each write.
func checkSlow(t *testing.T, e *envoy, app *slowApp, clk *clock, waits, takes time.Duration, renewals int) (clients []*client) {
	const slow = 50
	var first, second []*held
	for _, proto := range protocols {
		c := newClient(t, e, proto)
		c.login(`{"start": {"subject": "42", "data": {"cart": [1]}}}`)
		clients = append(clients, c)
	}
	clk.advance(t, waits)
	for i, c := range clients {
		first = append(first, app.hold(t, c, fmt.Sprint(t.Name(), "/first", i), slow/2, ""))
		second = append(second, app.hold(t, c, fmt.Sprint(t.Name(), "/second", i), slow/2, ""))
	}
	clk.advance(t, takes)
	for i, c := range clients {
		c.must(`{"set": {"cart": [1, 2]}}`)
		replies := first[i].release()
		c.must(`{"set": {"cart": [1, 2, 3]}}`)
		for _, r := range append(replies, second[i].release()...) {
			_, touches := r.cookie(touchName)
			_, sessions := r.cookie(sessionName)
			_, renewed := r.cookie(renewedName)
			if d := r.document(t); touches != 1 || sessions != 0 || renewed != renewals || d == nil || !d.Refreshed || d.Revision != 0 {
				t.Errorf("a slow one, which saw %+v, did not slide or did more: %q", d, r.Header.Values("set-cookie"))
			}
		}
		r := alive(t, c, "afterwards")
		if d := r.document(t); d.Revision != 2 || fmt.Sprint(d.Data) != "map[cart:[1 2 3]]" {
			t.Errorf("a write is undone: %+v", d)
		}
	}
	return clients
}

// lateConfig lets nothing be renewed before its time, or all from the second minute on.
func lateConfig(rotate string) string {
	return least(whole, `"timeouts": {"rotate": "`+rotate+`"}, "rules": [{"path_prefix": "/slow", "session": "optional"}, {"path_prefix": "/open", "session": "optional"}]`)
}

// saying is a query that has the app answer with a command.
func saying(command string) string {
	return "&" + url.Values{"set": {"x-session: " + command}}.Encode()
}

// late runs a test over either protocol, with a session that is two minutes old.
func late(t *testing.T, rotate string, test func(t *testing.T, c *client, app *slowApp, clk *clock)) {
	t.Helper()
	clk, app := newClock(t), newSlowApp(t)
	e := start(t, setup{app: app.addr, clock: clk, env: map[string]string{"CURFEW_KEY": newKey()}, config: lateConfig(rotate)})
	for _, proto := range protocols {
		t.Run(proto, func(t *testing.T) {
			clk.align(t)
			c := newClient(t, e, proto)
			c.login(`{"start": {"subject": "42", "data": {"cart": [1]}}}`)
			clk.advance(t, 2*time.Minute)
			test(t, c, app, clk)
		})
	}
}

// Whatever a late response brings, it takes nobody's activity back; and it brings no dead session back.
func TestLateActivity(t *testing.T) {
	const set = `{"set": {"cart": [1, 2]}}`
	for _, tt := range []struct{ name, rotate, late, click, cookie string }{
		{"a touch", "1h", "", "", touchName},
		{"a renewal", "2m", "", "", renewedName},
		{"a write", "1h", saying(set), "", sessionName},
		{"a write after another", "1h", saying(set), `{"set": {"cart": []}}`, sessionName},
		{"a write after a renewal", "10m", saying(set), "", sessionName},
		{"too large", "1h", saying(tooMuch), "", renewedName},
		{"too large, after a write", "1h", saying(tooMuch), set, renewedName},
		{"too large, after a renewal", "10m", saying(tooMuch), "", renewedName},
		{"too large and a renewal", "2m", saying(tooMuch), "", renewedName},
	} {
		t.Run(tt.name, func(t *testing.T) {
			late(t, tt.rotate, func(t *testing.T, c *client, app *slowApp, clk *clock) {
				h := app.hold(t, c, t.Name(), 1, tt.late) // at minute 2
				clk.advance(t, 10*time.Minute)
				if tt.click != "" {
					c.must(tt.click)
				} else {
					alive(t, c, "at minute 12")
				}
				for _, r := range h.release() {
					if _, n := r.cookie(tt.cookie); n != 1 {
						t.Errorf("the late answer brings %q", r.Header.Values("set-cookie"))
					}
				}
				clk.advance(t, 6*time.Minute)
				alive(t, c, "at minute 18")

				clk.advance(t, 2*time.Minute)
				h = app.hold(t, c, t.Name()+"/again", 1, tt.late)
				clk.advance(t, 15*time.Minute)
				for _, r := range h.release() {
					if _, n := r.cookie(touchName); n != 0 {
						t.Errorf("after the session's end the late answer brings %q", r.Header.Values("set-cookie"))
					}
				}
				ended(t, c, "idle_timeout", "15 minutes later")
			})
		})
	}
}

// A write that did not fit undoes none that did meanwhile.
func TestLateTooLarge(t *testing.T) {
	for _, rotate := range []string{"1h", "2m"} {
		for _, takes := range []time.Duration{0, 2 * time.Second} {
			t.Run(fmt.Sprintf("rotate %s, %v", rotate, takes), func(t *testing.T) {
				late(t, rotate, func(t *testing.T, c *client, app *slowApp, clk *clock) {
					h := app.hold(t, c, t.Name(), 1, saying(tooMuch))
					clk.advance(t, takes)
					c.must(`{"set": {"cart": [1, 2]}}`)
					if replies := h.release(); len(replies) != 1 || replies[0].StatusCode != 200 {
						t.Fatalf("%v", replies)
					}
					c.shows(`{"cart":[1,2]}`, 1)
				})
			})
		}
	}
}

// A renewal that comes after a logout brings nothing back, and after another login it changes nothing.
func TestLateRenewal(t *testing.T) {
	late(t, "2m", func(t *testing.T, c *client, app *slowApp, clk *clock) {
		before := c.shows(`{"cart":[1]}`, 0) // at minute 2, renewed
		clk.advance(t, 2*time.Minute)
		first, second := app.hold(t, c, t.Name()+"/first", 3, ""), app.hold(t, c, t.Name()+"/second", 3, "")
		c.do("POST", "/logout", "")
		if c.saved() != "" {
			t.Errorf("the logout left %s", c.saved())
		}
		renews(t, first.release())
		ended(t, c, "absent", "after the logout")
		if r := c.page("/open"); r.document(t) != nil || r.app.Header.Get("x-session-reason") != "absent" || strings.Contains(r.app.Header.Get("cookie"), sessionName) {
			t.Errorf("after the logout the app sees %v", r.app.Header)
		}
		c.login(`{"start": {"subject": "43"}}`)
		if after := c.shows(`{}`, 0); after.ID == before.ID || after.Subject != "43" || strings.Contains(c.saved(), renewedName) {
			t.Errorf("%+v became %+v with %s", before, after, c.saved())
		}
		renews(t, second.release())
		after := c.shows(`{}`, 0)
		clk.advance(t, 2*time.Minute)
		r := c.page("/")
		renews(t, []reply{r})
		if again := c.shows(`{}`, 0); after.ID == before.ID || after.Subject != "43" || again.ID != after.ID || again.Subject != "43" {
			t.Errorf("%+v became %+v, then %+v", before, after, again)
		}
	})
}

// renews fails unless each response renews the session and does no more than that.
func renews(t *testing.T, replies []reply) {
	t.Helper()
	for _, r := range replies {
		_, renewed := r.cookie(renewedName)
		if _, sessions := r.cookie(sessionName); renewed != 1 || sessions != 0 {
			t.Errorf("no renewal: %q", r.Header.Values("set-cookie"))
		}
	}
}

// Dead cookies are deleted by an open page that is prompt; a slow one could delete a login made meanwhile.
func TestLateDeletion(t *testing.T) {
	late(t, "1h", func(t *testing.T, c *client, app *slowApp, clk *clock) {
		clk.advance(t, 15*time.Minute)
		h := app.hold(t, c, t.Name(), 1, "")
		clk.advance(t, 2*time.Second)
		c.login(`{"start": {"subject": "42", "data": {"cart": [1, 2]}}}`)
		for _, r := range h.release() {
			silent(t, r, "a slow answer")
			if r.app.Header.Get("x-session-reason") != "idle_timeout" {
				t.Errorf("the app was told %v", r.app.Header)
			}
		}
		c.shows(`{"cart":[1,2]}`, 0)
		clk.advance(t, 15*time.Minute)
		deletions(t, c.page("/open"), "a prompt answer")
	})
}

// Of two writers at once the later response wins whole, and the revision shows that it knew nothing of
// the other's.
func TestTwoWriters(t *testing.T) {
	app := newSlowApp(t)
	e := start(t, setup{app: app.addr, env: map[string]string{"CURFEW_KEY": newKey()}, config: least(whole)})
	for _, proto := range protocols {
		for _, order := range [][2]string{{"a", "b"}, {"b", "a"}} {
			t.Run(proto+" "+strings.Join(order[:], " before "), func(t *testing.T) {
				c := newClient(t, e, proto)
				c.login(`{"start": {"subject": "42", "data": {"theme": "dark"}}}`)
				writers := map[string]*held{}
				for _, name := range order {
					writers[name] = app.hold(t, c, t.Name()+name, 1, "&"+url.Values{"set": {`x-session: {"set": {"` + name + `": 1}}`}}.Encode())
				}
				writers[order[0]].release()
				writers[order[1]].release()
				r := c.page("/")
				if d := r.document(t); fmt.Sprint(d.Data) != "map["+order[1]+":1 theme:dark]" || d.Revision != 1 {
					t.Errorf("got %+v", d)
				}
			})
		}
	}
}
