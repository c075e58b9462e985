package filter_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/curfew-proxy/curfew/cookie"
)

// vector is one of the token format's test vectors.
type vector struct {
	Name, Kind, Token, Class string
	Options                  struct {
		Name, Audience, Mode string
		Skew                 int64
	}
	Keys      []vectorKey
	SessionID string `json:"session_id"`
	Now       int64
	Fields    json.RawMessage // of a good one
}

type vectorKey struct {
	ID, Secret  string
	SignFrom    int64 `json:"sign_from"`
	VerifyUntil int64 `json:"verify_until"`
}

type vectorSession struct {
	ID, Subject, Data string
	Remember          bool
	StartedAt         int64 `json:"started_at"`
	AuthenticatedAt   int64 `json:"authenticated_at"`
	IssuedAt          int64 `json:"issued_at"`
	Idle, Absolute    int64
}

// document is the part of the session document that a token decides.
type document struct {
	ID, Subject     string
	Remember        bool
	StartedAt       int64 `json:"started_at"`
	AuthenticatedAt int64 `json:"authenticated_at"`
	TouchedAt       int64 `json:"touched_at"`
	Data            any
}

// A host's clock counts nanoseconds in 64 bits and ends in 2554, long before the format.
const lastSecond = 1<<64/1_000_000_000 - 1

const longest = 9600 * 3600 // of all timeouts that a config can have

// config has timeouts so long that opening decides, and maps the whole session.
func (v *vector) config(t *testing.T) string {
	t.Helper()
	var keys []map[string]string
	for _, k := range v.Keys {
		secret, err := hex.DecodeString(k.Secret)
		if err != nil {
			t.Fatal(err)
		}
		key := map[string]string{"id": k.ID, "secret": base64.StdEncoding.EncodeToString(secret)}
		if k.SignFrom != 0 {
			key["sign_from"] = rfc3339(max(k.SignFrom, 366*86400)) // a config has no earlier one
		}
		if k.VerifyUntil != 0 {
			key["verify_until"] = rfc3339(k.VerifyUntil)
		}
		keys = append(keys, key)
	}
	long := map[string]string{"idle": "9600h", "absolute": "9600h"}
	text, err := json.Marshal(map[string]any{
		"keys": keys, "audience": v.Options.Audience, "login": map[string]string{"url": "/login"},
		"cookie":   map[string]string{"name": v.Options.Name, "mode": v.Options.Mode},
		"timeouts": map[string]string{"idle": "9600h", "absolute": "9600h", "rotate": "9600h", "clock_skew": time.Duration(v.Options.Skew * 1e9).String()},
		"remember": long, "headers": map[string]string{"x-session-subject": "subject", "x-session": "@this"},
		"allow_insecure": !strings.HasPrefix(v.Options.Name, "__Host-"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func rfc3339(at int64) string { return time.Unix(at, 0).UTC().Format(time.RFC3339) }

// Every vector of the format, inside the built filter: good ones reach the app as who they are, all
// others never do.
func TestVectors(t *testing.T) {
	text, err := os.ReadFile("../cookie/testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Vectors []*vector }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	hosts := map[string]*wasmHost{}
	for _, v := range file.Vectors {
		config := v.config(t)
		h := hosts[config]
		if h == nil {
			h = newWasmHost(t)
			if !h.start(config) {
				t.Fatalf("%s: the filter does not start: %q", v.Name, h.logged)
			}
			hosts[config] = h
		}
		t.Run(v.Name, func(t *testing.T) {
			h.t, h.now = t, min(v.Now, lastSecond)
			if v.Kind == "touch" {
				v.runTouch(t, h)
			} else {
				v.runSession(t, h)
			}
		})
	}
	if len(file.Vectors) < 300 || len(hosts) < 15 {
		t.Errorf("only %d vectors under %d configs", len(file.Vectors), len(hosts))
	}
}

// visit is a page load that does not slide a session's time.
func visit(h *wasmHost, path, cookies string) {
	h.exchange([][2]string{
		{":method", "GET"}, {":path", path}, {":scheme", "https"}, {":authority", "shop.example"}, {"accept", "text/html"},
		{"x-session-activity", "passive"}, {"cookie", cookies},
	}, [][2]string{{":status", "200"}})
}

// seen is the session that the app saw; nil for none.
func seen(t *testing.T, h *wasmHost) (d *document) {
	t.Helper()
	for _, value := range values(h.toApp, "x-session") {
		d = &document{}
		if err := json.Unmarshal([]byte(value), d); err != nil {
			t.Fatalf("%s: %v", value, err)
		}
		if got := strings.Join(values(h.toApp, "x-session-subject"), ","); got != d.Subject {
			t.Errorf("x-session-subject is %q in %s", got, value)
		}
	}
	return d
}

// refused fails unless the filter answered itself, with that reason.
func refused(t *testing.T, h *wasmHost, reason string) {
	t.Helper()
	if h.local != 302 || h.reason != reason || seen(t, h) != nil || len(values(h.toApp, "cookie")) == 0 {
		t.Errorf("reply %d for %q, want 302 for %q; the app: %v", h.local, h.reason, reason, h.toApp)
	}
}

func (v *vector) runSession(t *testing.T, h *wasmHost) {
	visit(h, "/page", v.Options.Name+"="+v.Token)
	var f vectorSession
	switch {
	case v.Fields == nil:
		refused(t, h, "invalid")
		return
	case json.Unmarshal(v.Fields, &f) != nil:
		t.Fatalf("fields %s", v.Fields)
	}
	idle, absolute := int64(longest), int64(longest)
	if f.Idle != 0 {
		idle = f.Idle
	}
	if f.Absolute != 0 {
		absolute = f.Absolute
	}
	switch idleAt, expiresAt := f.IssuedAt+idle, f.StartedAt+absolute; {
	case f.IssuedAt > h.now+v.Options.Skew:
		refused(t, h, "invalid") // where no host's clock comes to
	case h.now >= idleAt && idleAt <= expiresAt:
		refused(t, h, "idle_timeout")
	case h.now >= expiresAt:
		refused(t, h, "absolute_timeout")
	case f.AuthenticatedAt == 0:
		refused(t, h, "anonymous")
		visit(h, "/login", v.Options.Name+"="+v.Token)
		fallthrough
	default:
		if diff := cmp.Diff(f.document(t, h.now), seen(t, h)); h.local != 0 || diff != "" {
			t.Errorf("reply %d for %q (-want +got):\n%s", h.local, h.reason, diff)
		}
	}
}

func (f *vectorSession) document(t *testing.T, now int64) *document {
	t.Helper()
	id, err := hex.DecodeString(f.ID)
	if err != nil {
		t.Fatal(err)
	}
	d := &document{
		ID: base64.RawURLEncoding.EncodeToString(id), Subject: f.Subject, Remember: f.Remember,
		StartedAt: f.StartedAt, AuthenticatedAt: f.AuthenticatedAt, TouchedAt: min(f.IssuedAt, now), Data: map[string]any{},
	}
	if f.Data != "" {
		if err := json.Unmarshal([]byte(f.Data), &d.Data); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// runTouch sends the touch with a session of its id that was issued an hour ago: it counts, or the
// session's own time does.
func (v *vector) runTouch(t *testing.T, h *wasmHost) {
	issued := h.now - 3600
	s := cookie.Session{StartedAt: issued, AuthenticatedAt: issued, IssuedAt: issued, Subject: "toucher"}
	if n, err := hex.Decode(s.ID[:], []byte(v.SessionID)); n != len(s.ID) || err != nil {
		t.Fatalf("session id %q", v.SessionID)
	}
	secret, err := hex.DecodeString(v.Keys[0].Secret)
	if err != nil {
		t.Fatal(err)
	}
	o := v.Options
	codec, err := cookie.NewCodec(cookie.Options{Name: o.Name, Audience: o.Audience, Sealed: o.Mode == "sealed"}, []cookie.Key{{ID: v.Keys[0].ID, Secret: secret}})
	if err != nil {
		t.Fatal(err)
	}
	token, err := codec.Seal(&s, issued, func(b []byte) error { b[0] = 1; return nil })
	if err != nil {
		t.Fatal(err)
	}
	want := issued
	if v.Fields != nil {
		var f struct{ Seen int64 }
		if err := json.Unmarshal(v.Fields, &f); err != nil {
			t.Fatal(err)
		}
		if f.Seen <= h.now+o.Skew {
			want = max(want, min(f.Seen, h.now))
		}
	}
	visit(h, "/page", o.Name+"="+token+"; "+o.Name+cookie.TouchSuffix+"="+v.Token)
	if d := seen(t, h); d == nil || d.Subject != s.Subject || d.TouchedAt != want {
		t.Errorf("the app saw %+v by %q, want it touched at %d", d, h.reason, want)
	}
}
