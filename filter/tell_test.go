package filter_test

import (
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero/api"

	"github.com/curfew-proxy/curfew/cookie"
	"github.com/curfew-proxy/curfew/filter"
)

// access is what Envoy would write of a request into its access log; "-" is its word for nothing.
type access struct{ reason, session string }

// set takes a property that the filter sets.
func (a *access) set(path, value string) {
	switch path {
	case "curfew_reason":
		a.reason = value
	case "curfew_session":
		a.session = value
	}
}

const tellFields = `, "anonymous": true, "revoke": {"subjects": {"gone": "2022-01-01T00:00:00Z"}}, "rules": [
	{"path_prefix": "/off", "session": "off"}, {"path_prefix": "/open", "session": "optional"},
	{"path_prefix": "/admin", "require": {"data.role": ["admin"]}}]`

// whose hash the access log has.
type whose int

const (
	nobodys whose = iota
	its           // the session's that came
	another       // one that began with the response
)

// since is a session that began and was last seen so many seconds before epoch.
func since(began, seen int64, subject string) *cookie.Session {
	s := someone(subject)
	s.StartedAt, s.AuthenticatedAt, s.IssuedAt = epoch-began, epoch-began, epoch-seen
	return s
}

var tellCases = []struct {
	name, method, path string
	came               *cookie.Session
	garbage            string // comes instead
	command            string // of the app
	reason             string
	whose              whose
	lines              int // of the log, with that reason
}{
	{"live", "GET", "/page", since(60, 0, "42"), "", "", "-", nobodys, 0},
	{"live, touched", "GET", "/page", since(600, 600, "42"), "", "", "-", nobodys, 0},
	{"live, changed", "GET", "/page", since(60, 0, "42"), "", `{"set":{"a":1}}`, "-", nobodys, 0},
	{"off", "GET", "/off", since(60, 0, "42"), "", "", "off", nobodys, 0},
	{"absent", "GET", "/page", nil, "", "", "absent", nobodys, 0},
	{"absent, let in", "GET", "/open", nil, "", "", "absent", nobodys, 0},
	{"invalid", "GET", "/page", nil, "1s.k1.AAAA", "", "invalid", nobodys, 0},
	{"invalid, let in", "GET", "/open", nil, "x", "", "invalid", nobodys, 0},
	{"idle end", "GET", "/page", since(901, 900, "42"), "", "", "idle_timeout", its, 1},
	{"idle end, let in", "GET", "/open", since(901, 900, "42"), "", "", "idle_timeout", its, 1},
	{"absolute end", "GET", "/page", since(12*3600, 1, "42"), "", "", "absolute_timeout", its, 1},
	{"revoked", "GET", "/page", since(60, 0, "gone"), "", "", "revoked", its, 1},
	{"forbidden", "GET", "/admin", since(60, 0, "42"), "", "", "forbidden", its, 0},
	{"login", "POST", "/login", nil, "", `{"start":{"subject":"42"}}`, "started", another, 1},
	{"login in the place of one", "POST", "/login", since(60, 0, "42"), "", `{"start":{"subject":"43"}}`, "started", another, 1},
	{"login after an end", "POST", "/login", since(901, 900, "42"), "", `{"start":{"subject":"42"}}`, "started", another, 1},
	{"anonymous", "GET", "/open", nil, "", `{"set":{"a":1}}`, "opened", another, 1},
	{"rotation", "GET", "/page", since(60, 0, "42"), "", `{"rotate":true}`, "rotated", another, 1},
	{"app's end", "GET", "/page", since(60, 0, "42"), "", `{"end":true}`, "ended", its, 1},
	{"app's end of nothing", "GET", "/open", nil, "", `{"end":true}`, "ended", nobodys, 0},
	{"logout", "POST", "/logout", since(60, 0, "42"), "", "", "logged_out", its, 1},
	{"logout of nobody", "POST", "/logout", nil, "", "", "logged_out", nobodys, 0},
	{"logout of garbage", "POST", "/logout", nil, "x", "", "logged_out", nobodys, 0},
	{"502", "GET", "/page", since(60, 0, "42"), "", `{"leak":1}`, "bad_command", its, 0},
	{"502 of a stranger", "GET", "/open", nil, "", `{"leak":1}`, "bad_command", nobodys, 0},
	{"too large", "GET", "/page", since(60, 0, "42"), "", `{"set":{"a":"` + strings.Repeat("x", 4000) + `"}}`, "too_large", its, 0},
}

// The access log has a reason's session by the hash that the log's lines have, and none where there was no
// session, or a live one to which nothing happened.
func TestTell(t *testing.T) {
	t.Run("native", func(t *testing.T) {
		tellNative(t, open(t, tellFields, filter.New(filter.World{Now: func() int64 { return epoch }})))
	})
	t.Run("wasm", tellWasm)
}

// ask sends a request, and returns what the access log has and what the filter logged.
type ask func(request [][2]string, response ...[2]string) (access, string)

// tellNative asks in the SDK's host, whose properties are one request's and the next's, too.
func tellNative(t *testing.T, s *site) {
	tellAll(t, s, func(request [][2]string, response ...[2]string) (a access, logged string) {
		paths := []string{"curfew_reason", "curfew_session"}
		for _, path := range paths {
			if err := s.host.SetProperty([]string{path}, []byte("-")); err != nil {
				t.Fatal(err)
			}
		}
		from := s.log.Len()
		s.send(request, response...)
		for _, path := range paths {
			value, err := s.host.GetProperty([]string{path})
			if err != nil {
				t.Fatal(err)
			}
			a.set(path, string(value))
		}
		return a, s.log.String()[from:]
	})
}

func tellWasm(t *testing.T) {
	s := &site{t: t, secret: make([]byte, 32)}
	_, _ = rand.Read(s.secret)
	s.codec = s.newCodec(cookie.Options{Name: name, Skew: 60})
	h := newWasmHost(t)
	h.now = epoch
	if !h.start(configOf(s.secret, tellFields)) {
		t.Fatalf("the filter does not start: %q", h.logged)
	}
	tellAll(t, s, func(request [][2]string, response ...[2]string) (access, string) {
		a := access{"-", "-"}
		h.logged = nil
		h.spy = a.spy
		h.exchange(request, response)
		return a, strings.Join(h.logged, "\n")
	})
}

func (a *access) spy(call string, m api.Module, arg []uint64) {
	if call == "proxy_set_property" {
		a.set(read(m, arg[0], arg[1]), read(m, arg[2], arg[3]))
	}
}

func tellAll(t *testing.T, s *site, ask ask) {
	for _, c := range tellCases {
		t.Run(c.name, func(t *testing.T) {
			request := [][2]string{{":method", c.method}, {":path", c.path}, {":scheme", "https"}, {":authority", "shop.example"}, {"accept", "text/html"}}
			own := "-"
			if c.came != nil {
				own = c.came.ID.Hash()
				c.garbage = s.mint(c.came)
			}
			if c.garbage != "" {
				request = append(request, [2]string{"cookie", name + "=" + c.garbage})
			}
			response := [][2]string{status("200")}
			if c.command != "" {
				response = append(response, command(c.command))
			}
			got, logged := ask(request, response...)
			if got.reason != c.reason {
				t.Errorf("reason %q, want %q", got.reason, c.reason)
			}
			if is := whoseIs(got.session, own); is != c.whose {
				t.Errorf("session %q where %s came: %d, want %d", got.session, own, is, c.whose)
			}
			hashes := hashesOf(t, logged, c.reason)
			if len(hashes) != c.lines {
				t.Fatalf("%d lines, want %d: %s", len(hashes), c.lines, logged)
			}
			for _, hash := range hashes {
				if hash != got.session {
					t.Errorf("the access log has %s, the log %s", got.session, hash)
				}
			}
		})
	}
}

func whoseIs(hash, own string) whose {
	switch hash {
	case "-":
		return nobodys
	case own:
		return its
	}
	return another
}

// hashesOf are those of the log's lines with that reason; of a rotation the one that goes on.
func hashesOf(t *testing.T, logged, reason string) (hashes []string) {
	t.Helper()
	for _, line := range strings.Split(logged, "\n") {
		at := strings.Index(line, `{"curfew"`)
		if at < 0 {
			continue
		}
		var event struct{ Reason, Session, Next string }
		if err := json.Unmarshal([]byte(line[at:]), &event); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if event.Next != "" {
			event.Session = event.Next
		}
		if event.Reason == reason {
			hashes = append(hashes, event.Session)
		}
	}
	return hashes
}

// A stream that is cut tells its session by the id that it has by then.
func TestTellCut(t *testing.T) {
	h := newStreamHost(t, "")
	h.now = epoch
	told := map[uint64]*access{}
	h.spy = func(call string, m api.Module, arg []uint64) {
		h.note(call, m, arg)
		if told[h.context] == nil {
			told[h.context] = &access{"-", "-"}
		}
		told[h.context].spy(call, m, arg)
	}
	line, session := h.minted(same)
	rotated, before := h.minted(same)
	cut := h.open(0, line)
	h.answer(cut)
	renamed := h.open(0, rotated)
	h.answer(renamed)
	other := h.open(0, rotated)
	h.answer(other, command(`{"rotate":true}`))
	h.done(other)
	h.tick(0)
	if live := (access{"-", "-"}); *told[cut] != live || *told[renamed] != live {
		t.Errorf("live ones tell %v and %v", told[cut], told[renamed])
	}
	h.now += 15 * 60
	if closed := h.tick(0); len(closed) != 2 {
		t.Fatalf("closed %v", closed)
	}
	if want := (access{"idle_timeout", session.ID.Hash()}); *told[cut] != want {
		t.Errorf("told %v, want %v", told[cut], want)
	}
	next := hashesOf(t, strings.Join(h.logged, "\n"), "rotated")
	if len(next) != 1 || next[0] == before.ID.Hash() {
		t.Fatalf("rotated to %v: %q", next, h.logged)
	}
	if want := (access{"idle_timeout", next[0]}); *told[renamed] != want {
		t.Errorf("told %v, want %v", told[renamed], want)
	}
	h.done(cut, renamed)
}
