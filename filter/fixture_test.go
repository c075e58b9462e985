package filter_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"log"
	"os"
	"strings"
	"testing"

	"github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm/proxytest"
	"github.com/tetratelabs/proxy-wasm-go-sdk/proxywasm/types"

	"github.com/curfew-proxy/curfew/cookie"
	"github.com/curfew-proxy/curfew/filter"
)

// epoch is where the emulated host's clock begins: 2022-01-01, and a thousand readings make a
// second. The native filter is given the same.
const epoch = int64(1_640_995_200)

const name = "__Host-session"

// wasm is the built filter.
func wasm(t testing.TB) []byte {
	t.Helper()
	path := os.Getenv("CURFEW_WASM")
	if path == "" {
		t.Fatal("CURFEW_WASM is not set; run: make test")
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// site is a running filter with one key.
type site struct {
	t      testing.TB
	host   proxytest.HostEmulator
	log    *bytes.Buffer
	codec  *cookie.Codec
	secret []byte
}

// inBoth runs a test against the filter as plain Go and inside the built wasm. fields are further
// top-level ones of its config, keys further ones of its keys.
func inBoth(t *testing.T, fields string, test func(t *testing.T, s *site), keys ...string) {
	t.Helper()
	t.Run("native", func(t *testing.T) {
		test(t, open(t, fields, filter.New(filter.World{Now: func() int64 { return epoch }}), keys...))
	})
	t.Run("wasm", func(t *testing.T) {
		vm, err := proxytest.NewWasmVMContext(wasm(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { vm.Close() })
		test(t, open(t, fields, vm, keys...))
	})
}

func open(t testing.TB, fields string, vm types.VMContext, keys ...string) *site {
	t.Helper()
	s := &site{t: t, log: &bytes.Buffer{}, secret: make([]byte, 32)}
	_, _ = rand.Read(s.secret)
	s.codec = s.newCodec(cookie.Options{Name: name, Skew: 60})
	log.SetOutput(s.log)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	config := configOf(s.secret, fields, keys...)
	host, reset := proxytest.NewHostEmulator(proxytest.NewEmulatorOption().WithVMContext(vm).WithPluginConfiguration([]byte(config)))
	t.Cleanup(reset)
	s.host = host
	if host.StartVM() != types.OnVMStartStatusOK || host.StartPlugin() != types.OnPluginStartStatusOK {
		t.Fatalf("the filter does not start: %s", s.log)
	}
	return s
}

// configOf is a config whose first key, k1, has that secret.
func configOf(secret []byte, fields string, keys ...string) string {
	k1 := `{"id": "k1", "secret": "` + base64.StdEncoding.EncodeToString(secret) + `"}`
	return `{"keys": [` + strings.Join(append([]string{k1}, keys...), ", ") + `], "login": {"url": "/login"}` + fields + `}`
}

// newCodec mints for other options under this site's key.
func (s *site) newCodec(opt cookie.Options) *cookie.Codec {
	s.t.Helper()
	c, err := cookie.NewCodec(opt, []cookie.Key{{ID: "k1", Secret: s.secret}})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// someone logged in at epoch.
func someone(subject string) *cookie.Session {
	s := &cookie.Session{StartedAt: epoch, AuthenticatedAt: epoch, IssuedAt: epoch, Subject: subject}
	_, _ = rand.Read(s.ID[:])
	return s
}

// mint signs a session, whenever it is from.
func (s *site) mint(session *cookie.Session) string {
	s.t.Helper()
	token, err := s.codec.Seal(session, session.IssuedAt, func(b []byte) error { _, err := rand.Read(b); return err })
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

func (s *site) touch(id cookie.ID, at int64) string {
	s.t.Helper()
	token, err := s.codec.SealTouch(id, at, at)
	if err != nil {
		s.t.Fatal(err)
	}
	return token
}

// outcome is what became of one request.
type outcome struct {
	local   *proxytest.LocalHttpResponse // nil: it went to the app
	request [][2]string                  // what the app saw
	reply   [][2]string                  // the response's headers, of either
}

// request sends GET with these Cookie lines, and the app answers 200 with the given headers.
func (s *site) request(method, path string, cookies []string, response ...[2]string) (o outcome) {
	headers := [][2]string{{":method", method}, {":path", path}, {":scheme", "https"}, {":authority", "shop.example"}, {"accept", "text/html"}}
	for _, line := range cookies {
		headers = append(headers, [2]string{"cookie", line})
	}
	return s.send(headers, response...)
}

func (s *site) send(headers [][2]string, response ...[2]string) (o outcome) {
	s.t.Helper()
	id := s.host.InitializeHttpContext()
	action := s.host.CallOnRequestHeaders(id, headers, true)
	if action == types.ActionContinue {
		// What the guest wrote lies in its memory, which the next callback may use for something else.
		o.request = copied(s.host.GetCurrentRequestHeaders(id))
		if len(response) == 0 {
			response = [][2]string{{":status", "200"}}
		}
		action = s.host.CallOnResponseHeaders(id, response, true)
		o.reply = copied(s.host.GetCurrentResponseHeaders(id))
	}
	if local := s.host.GetSentLocalResponse(id); local != nil {
		o.local = &proxytest.LocalHttpResponse{StatusCode: local.StatusCode, Data: bytes.Clone(local.Data), GRPCStatus: local.GRPCStatus}
		o.reply = copied(local.Headers)
	}
	if (o.local == nil) != (action == types.ActionContinue) {
		s.t.Errorf("action %v with reply %v", action, o.local)
	}
	s.host.CompleteHttpContext(id)
	return o
}

func copied(headers [][2]string) (out [][2]string) {
	for _, h := range headers {
		out = append(out, [2]string{strings.Clone(h[0]), strings.Clone(h[1])})
	}
	return out
}

func values(headers [][2]string, name string) (out []string) {
	for _, h := range headers {
		if h[0] == name {
			out = append(out, h[1])
		}
	}
	return out
}

// subject is who the app saw, "" for nobody.
func (o *outcome) subject() string { return strings.Join(values(o.request, "x-session-subject"), ",") }

// want fails unless the request was treated as one of that subject; "" is a stranger, sent to the
// login page with no cookie but a deletion.
func (o *outcome) want(t testing.TB, subject string) {
	t.Helper()
	if subject != "" {
		if o.local != nil || o.subject() != subject {
			t.Errorf("subject %q, reply %+v; want %q", o.subject(), o.local, subject)
		}
		return
	}
	if o.local == nil || o.local.StatusCode != 302 {
		t.Errorf("a stranger got %+v, and the app saw %q", o.local, o.subject())
	}
	// The emulated host joins values of one name; each must be a deletion.
	for _, line := range values(o.reply, "set-cookie") {
		if strings.Count(line, "=; Max-Age=0; ") != strings.Count(line, name) {
			t.Errorf("a Set-Cookie that deletes nothing: %q", line)
		}
	}
}
