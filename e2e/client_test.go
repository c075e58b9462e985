package e2e

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// seen is what the app received, as it tells in its body.
type seen struct {
	Method, Path string
	Header       http.Header
}

// newApp starts an app of two headers. It answers with what it received; a request's query can make
// it set response headers (`set=Name: value`) and a status (`status=`).
func newApp(t testing.TB) string {
	srv := httptest.NewServer(http.HandlerFunc(echo))
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	q, _ := url.ParseQuery(string(body))
	if len(q) == 0 {
		q = r.URL.Query()
	}
	for _, line := range q["set"] {
		name, value, _ := strings.Cut(line, ": ")
		w.Header().Add(name, value)
	}
	w.Header().Set("content-type", "application/json")
	switch q.Get("status") {
	case "":
	case "401":
		w.WriteHeader(401)
	case "303":
		w.WriteHeader(303)
	case "500":
		w.WriteHeader(500)
	}
	_ = json.NewEncoder(w).Encode(seen{r.Method, r.URL.RequestURI(), r.Header})
}

// client is a browser as far as cookies go. It follows no redirect.
type client struct {
	t    testing.TB
	http *http.Client
	base string
	jar  *cookiejar.Jar
}

// newClient speaks h2 or http/1.1 over TLS, or (proto "plain") http/1.1 in the clear, to one Envoy.
func newClient(t testing.TB, e *envoy, proto string) *client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	addr, scheme := e.https, "https"
	if proto == "plain" {
		addr, scheme = e.http, "http"
	}
	_, port, _ := net.SplitHostPort(addr)
	tr := &http.Transport{
		TLSClientConfig:     &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // a certificate of this test's own
		ForceAttemptHTTP2:   proto == "h2",
		MaxIdleConnsPerHost: 128,
	}
	if proto != "h2" {
		tr.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &client{t: t, jar: jar, base: scheme + "://localhost:" + port, http: &http.Client{
		Jar: jar, Transport: tr,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// reply is a response read to its end.
type reply struct {
	*http.Response
	body string
	app  *seen // nil where the app did not answer
}

// do sends a request; headers are lines `name: value`.
func (c *client) do(method, path, body string, headers ...string) reply {
	c.t.Helper()
	res, err := c.send(method, path, body, headers...)
	return c.read(res, err)
}

func (c *client) send(method, path, body string, headers ...string) (*http.Response, error) {
	c.t.Helper()
	req, err := http.NewRequest(method, c.base+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if strings.EqualFold(name, "host") {
			req.Host = value
			continue
		}
		req.Header[http.CanonicalHeaderKey(name)] = append(req.Header[http.CanonicalHeaderKey(name)], value)
	}
	return c.http.Do(req)
}

// read reads a response to its end.
func (c *client) read(res *http.Response, err error) reply {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
	return readReply(c.t, res)
}

func readReply(t testing.TB, res *http.Response) reply {
	t.Helper()
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	r := reply{Response: res, body: string(b)}
	var s seen
	if json.Unmarshal(b, &s) == nil && s.Method != "" {
		r.app = &s
	}
	return r
}

// page loads a page as a browser does.
func (c *client) page(path string) reply {
	c.t.Helper()
	return c.do("GET", path, "", "Accept: text/html,*/*;q=0.8", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
}

// login makes the app start a session with that command.
func (c *client) login(command string) reply {
	c.t.Helper()
	r := c.do("POST", "/login", url.Values{"set": {"x-session: " + command}, "status": {"303"}}.Encode())
	if r.StatusCode != 303 {
		c.t.Fatalf("login: status %d: %s", r.StatusCode, r.body)
	}
	return r
}

// cookie is a Set-Cookie line of that name, and how many there were.
func (r *reply) cookie(name string) (line string, n int) {
	for _, v := range r.Header.Values("set-cookie") {
		if strings.HasPrefix(v, name+"=") {
			line = v
			n++
		}
	}
	return line, n
}
