package filter_test

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfew-proxy/curfew/cookie"
)

// costNow is what the counting host's clock says, in Unix seconds.
const costNow = 1_800_000_000

// countingHost gives the filter one and the same request over and over.
type countingHost struct {
	*wasmHost
	pairs [][2]string
}

// newCountingHost starts the filter with that mode and serves a request with a live session. wrapped are
// the app's own cookies in it; with any, the config names them.
func newCountingHost(t *testing.T, mode string, wrapped ...cookie.Wrapped) *countingHost {
	t.Helper()
	return newCountingHostWith(t, mode, "", wrapped...)
}

// newCountingHostWith is the same with further top-level fields of the config.
func newCountingHostWith(t *testing.T, mode, fields string, wrapped ...cookie.Wrapped) *countingHost {
	t.Helper()
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	h := &countingHost{newListeningHost(t), [][2]string{
		{":authority", "shop.example"}, {":path", "/cart?x=1"}, {":method", "GET"}, {":scheme", "https"},
		{"user-agent", "Mozilla/5.0"}, {"accept", "text/html,*/*;q=0.8"}, {"accept-language", "en"},
		{"sec-fetch-mode", "navigate"}, {"sec-fetch-site", "same-origin"},
		{"cookie", "theme=dark; " + liveCookies(t, secret, mode, wrapped...) + "; lang=en"},
	}}
	names := ""
	for i, w := range wrapped {
		if names += fmt.Sprintf("%q", w.Name); i < len(wrapped)-1 {
			names += ", "
		}
	}
	if names != "" {
		names = `"wrap": [` + names + `], `
	}
	config := fmt.Sprintf(`{"cookie": {"mode": %q}, %s"keys": [{"id": "k1", "secret": %q}], "login": {"url": "/login"}%s}`,
		mode, names, base64.StdEncoding.EncodeToString(secret), fields)
	if !h.start(config) {
		t.Fatalf("the filter did not start: %q", h.logged)
	}
	return h
}

// request serves it once more. The host numbers contexts itself.
func (h *countingHost) request(uint64) {
	h.t.Helper()
	h.exchange(h.pairs, [][2]string{{":status", "200"}})
}

// liveCookies mints a session and a touch that is fresh.
func liveCookies(t *testing.T, secret []byte, mode string, wrapped ...cookie.Wrapped) string {
	t.Helper()
	const name = "__Host-session"
	codec, err := cookie.NewCodec(cookie.Options{Name: name, Sealed: mode == "sealed"}, []cookie.Key{{ID: "k1", Secret: secret}})
	if err != nil {
		t.Fatal(err)
	}
	s := cookie.Session{ID: cookie.ID{1}, StartedAt: costNow - 300, AuthenticatedAt: costNow - 300, IssuedAt: costNow - 300, Subject: "42", Data: `{"cart":[1,2]}`}
	var list []byte
	for i := range wrapped {
		list = cookie.AppendWrapped(list, &wrapped[i])
	}
	s.Wrapped = string(list)
	token, err := codec.Seal(&s, costNow, func(b []byte) error { _, err := rand.Read(b); return err })
	if err != nil {
		t.Fatal(err)
	}
	touch, err := codec.SealTouch(s.ID, costNow, costNow)
	if err != nil {
		t.Fatal(err)
	}
	return name + "=" + token + "; " + name + cookie.TouchSuffix + "=" + touch
}

// A call of the host costs more than all that happens behind it. These five are what a live session
// needs.
func TestHostCalls(t *testing.T) {
	for _, mode := range []string{"signed", "sealed"} {
		t.Run(mode, func(t *testing.T) {
			h := newCountingHost(t, mode)
			want := []string{
				"proxy_get_header_map_pairs",
				"clock_time_get",
				"proxy_replace_header_map_value cookie",
				"proxy_replace_header_map_value x-session-subject",
				"proxy_get_header_map_value x-session",
			}
			for id := uint64(2); id < 12; id++ {
				h.calls = nil
				h.request(id)
				if diff := cmp.Diff(want, h.calls); diff != "" {
					t.Fatalf("host calls (-want +got):\n%s", diff)
				}
			}
			if diff := cmp.Diff(map[string]string{"cookie": "theme=dark; lang=en", "x-session-subject": "42"}, h.headers); diff != "" {
				t.Errorf("headers written (-want +got):\n%s", diff)
			}
		})
	}
}

// own are an app's cookies as a session holds them: one for this path, one for another.
var own = []cookie.Wrapped{{Name: "sid", Path: "/", Value: "s1"}, {Name: "tok", Path: "/elsewhere", Value: "t1"}}

// An app whose cookies are wrapped costs one look-up more: whether it sets any.
func TestHostCallsOfWrapping(t *testing.T) {
	h := newCountingHost(t, "sealed", own...)
	want := []string{
		"proxy_get_header_map_pairs",
		"clock_time_get",
		"proxy_replace_header_map_value cookie",
		"proxy_replace_header_map_value x-session-subject",
		"proxy_get_header_map_value x-session",
		"proxy_get_header_map_value set-cookie",
	}
	for id := uint64(2); id < 12; id++ {
		h.calls = nil
		h.request(id)
		if diff := cmp.Diff(want, h.calls); diff != "" {
			t.Fatalf("host calls (-want +got):\n%s", diff)
		}
	}
	if diff := cmp.Diff(map[string]string{"cookie": "sid=s1; theme=dark; lang=en", "x-session-subject": "42"}, h.headers); diff != "" {
		t.Errorf("headers written (-want +got):\n%s", diff)
	}
}

// Every allocation brings the next garbage collection nearer. The buffer that the host asks for, to
// hand over the headers, is the only one; where sessions are sealed, the cipher's library makes some
// small ones of its own on each opening, and where cookies are wrapped, one keeps the request's folder.
func TestAllocations(t *testing.T) {
	const warmUp, requests = 100, 1000
	for _, c := range []struct {
		name, mode string
		wrapped    []cookie.Wrapped
		others     int
	}{{"signed", "signed", nil, 0}, {"sealed", "sealed", nil, 8}, {"wrapping", "sealed", own, 9}} {
		t.Run(c.name, func(t *testing.T) {
			h := newCountingHost(t, c.mode, c.wrapped...)
			for id := uint64(2); id < 2+warmUp; id++ {
				h.request(id)
			}
			clear(h.allocs)
			for id := uint64(2 + warmUp); id < 2+warmUp+requests; id++ {
				h.request(id)
			}
			buffers, others := 0, 0
			for stack, n := range h.allocs {
				if strings.Contains(stack, "proxy_on_memory_allocate") {
					buffers += n
				} else {
					others += n
				}
			}
			if buffers != requests || others > c.others*requests {
				t.Errorf("%d requests made %d buffers for the host, want one each, and %d other allocations, want at most %d each:\n%v",
					requests, buffers, others, c.others, h.allocs)
			}
		})
	}
}

// Every worker of every proxy compiles the whole file.
func TestSize(t *testing.T) {
	const most = 360_000
	if n := len(wasmFile(t, ".wasm")); n > most {
		t.Errorf("the built filter has %d bytes, want at most %d", n, most)
	}
}
