package policy

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/curfew-proxy/curfew/cookie"
)

const (
	// epoch is when tests happen: a multiple of every touch interval in use.
	epoch  = int64(1_800_000_000)
	minute = int64(60)
	hour   = 60 * minute

	site     = "shop.example"
	htmlPage = "text/html,application/xhtml+xml"
)

// testEnv gives every variable a secret of its own, made when it is asked for.
func testEnv(name string) string {
	secret := sha256.Sum256([]byte("policy test " + name))
	return base64.StdEncoding.EncodeToString(secret[:])
}

// keyJSON is one entry of `keys`; signFrom 0 leaves sign_from out.
func keyJSON(id string, signFrom int64) string {
	s := `{"id":"` + id + `","secret_env":"KEY_` + id + `"`
	if signFrom != 0 {
		s += `,"sign_from":"` + rfc3339(signFrom) + `"`
	}
	return s + `}`
}

func rfc3339(at int64) string { return time.Unix(at, 0).UTC().Format(time.RFC3339) }

// policyOf parses a config of these top-level fields; keys and login have defaults here.
func policyOf(t testing.TB, fields ...string) *Config {
	t.Helper()
	c, err := tryPolicy(fields...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// tryPolicy is policyOf for configs that may be refused.
func tryPolicy(fields ...string) (*Config, error) {
	for _, needed := range [...][2]string{{`"keys"`, `"keys":[` + keyJSON("a", 0) + `]`}, {`"login"`, `"login":{"url":"/login"}`}} {
		found := false
		for _, f := range fields {
			found = found || strings.HasPrefix(f, needed[0])
		}
		if !found {
			fields = append(fields, needed[1])
		}
	}
	return Parse("{"+strings.Join(fields, ",")+"}", testEnv)
}

// counting fills with bytes that never repeat: randomness for tests.
func counting() func([]byte) error {
	n := uint32(1)
	return func(b []byte) error {
		for i := range b {
			b[i] = byte(n >> (8 * (uint(i) % 4)))
		}
		n++
		return nil
	}
}

var errNoRandom = errors.New("no randomness")

func noRandom([]byte) error { return errNoRandom }

// keep is what a response is told of its request.
func keep(c *Config, r *Request, d *Decision, now int64) (o Origin) {
	c.Keep(&o, r, d, now)
	return o
}

// someone has logged in at that time and done nothing since.
func someone(at int64) cookie.Session {
	return cookie.Session{ID: cookie.ID{1, 2, 3}, StartedAt: at, AuthenticatedAt: at, IssuedAt: at, Subject: "user-42"}
}

// with is someone with changes.
func with(at int64, change func(*cookie.Session)) cookie.Session {
	s := someone(at)
	change(&s)
	return s
}

// mint writes a session token as c would, signed by the key of the time when it was issued.
func mint(t testing.TB, c *Config, s cookie.Session) string {
	t.Helper()
	token, err := c.codec.Seal(&s, s.IssuedAt, counting())
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func mintTouch(t testing.TB, c *Config, id cookie.ID, seen int64) string {
	t.Helper()
	token, err := c.codec.SealTouch(id, seen, seen)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// sessionLine is the Cookie line of a browser that holds s.
func sessionLine(t testing.TB, c *Config, s cookie.Session) string {
	t.Helper()
	return c.Cookie.Name + "=" + mint(t, c, s)
}

func touchLine(t testing.TB, c *Config, id cookie.ID, seen int64) string {
	t.Helper()
	return c.Cookie.Name + cookie.TouchSuffix + "=" + mintTouch(t, c, id, seen)
}

// ask completes r as a request to this site with these Cookie lines.
func ask(c *Config, r Request, lines ...string) *Request {
	r.Method = cmp.Or(r.Method, "GET")
	r.Scheme = cmp.Or(r.Scheme, "https")
	r.Authority = cmp.Or(r.Authority, site)
	r.Path = cmp.Or(r.Path, "/page")
	r.Jar = c.NewJar()
	for _, line := range lines {
		r.Jar.Add(line)
	}
	return &r
}

// browser keeps cookies as a browser does.
type browser struct {
	t      testing.TB
	values map[string]string
	lines  []string // every Set-Cookie that it got
	random func([]byte) error
}

func newBrowser(t testing.TB) *browser {
	return &browser{t: t, values: map[string]string{}, random: counting()}
}

func (b *browser) line() string {
	var pairs []string
	for name, value := range b.values {
		pairs = append(pairs, name+"="+value)
	}
	return strings.Join(pairs, "; ")
}

// take applies Set-Cookie values, of which there may be one for each name.
func (b *browser) take(cookies []string) {
	b.t.Helper()
	seen := map[string]bool{}
	for _, line := range cookies {
		pair, attributes, _ := strings.Cut(line, ";")
		name, value, _ := strings.Cut(pair, "=")
		if seen[name] {
			b.t.Fatalf("two Set-Cookie for %s in one response", name)
		}
		seen[name] = true
		b.lines = append(b.lines, line)
		if b.values[name] = value; strings.Contains(attributes, "Max-Age=0;") {
			delete(b.values, name)
		}
	}
}

// do sends one request through a proxy and takes what comes back.
func (b *browser) do(c *Config, r Request, response Response, at int64) (Decision, Reply) {
	b.t.Helper()
	asked := ask(c, r, b.line())
	d := c.Decide(asked, at)
	d.Session.Subject, d.Session.Data = strings.Clone(d.Session.Subject), strings.Clone(d.Session.Data)
	if d.Verdict != Pass {
		b.take(setCookies(c.Answer(asked, &d, at).Headers))
		return d, Reply{}
	}
	o := keep(c, asked, &d, at)
	reply := c.Respond(&o, &response, at, b.random)
	b.take(reply.Cookies)
	return d, reply
}

// login starts a session through the app's own response.
func (b *browser) login(c *Config, start string, at int64) {
	b.t.Helper()
	_, reply := b.do(c, Request{Method: "POST", Path: "/login"}, Response{Status: 303, Commands: []string{`{"start":` + start + `}`}}, at)
	if reply.Reason != Started {
		b.t.Fatalf("login: %v %s", reply.Reason, reply.Fault)
	}
}

func setCookies(headers [][2]string) (out []string) {
	for _, h := range headers {
		if h[0] == "set-cookie" {
			out = append(out, h[1])
		}
	}
	return out
}
