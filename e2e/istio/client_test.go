package istio

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// newKey makes a secret for one test.
func newKey() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return base64.StdEncoding.EncodeToString(b)
}

// certificate makes one for shop.example that only this test knows.
func certificate(t testing.TB) (cert, key []byte) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "shop.example"}, DNSNames: []string{"shop.example"},
		NotBefore: time.Unix(0, 0), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &priv.PublicKey, priv)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// freePort is a port that nobody listens on.
func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// seen is what the app received, as it tells in its body.
type seen struct {
	Path   string
	Header http.Header
}

// newApp starts an app of two headers: a POST to /login logs the form's user in.
func newApp(t testing.TB) (port int) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" && r.URL.Path == "/login" {
			command, _ := json.Marshal(map[string]any{"start": map[string]any{"subject": r.PostFormValue("user")}})
			w.Header().Set("x-session", string(command))
		}
		w.Header().Set("content-type", "application/json")
		_ = json.NewEncoder(w).Encode(seen{r.URL.RequestURI(), r.Header})
	}))
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().(*net.TCPAddr).Port
}

// client is a browser as far as cookies go: for it every port of this machine is shop.example. It follows no redirect.
type client struct{ *http.Client }

func newClient(t testing.TB) client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	var dialer net.Dialer
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // a certificate of this test's own
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, strings.Replace(addr, "shop.example", "127.0.0.1", 1))
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return client{&http.Client{
		Jar: jar, Transport: transport, Timeout: patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// reply is a response read to its end.
type reply struct {
	*http.Response
	body string
	app  *seen // nil where the app did not answer
}

func (r reply) String() string { return fmt.Sprintf("%d %v %s", r.StatusCode, r.Header, r.body) }

// subject is who the app took it for; "-" where the app did not answer or was told more than one.
func (r reply) subject() string {
	if r.app == nil || len(r.app.Header.Values("x-session-subject")) > 1 {
		return "-"
	}
	return r.app.Header.Get("x-session-subject")
}

// do sends a request; headers are lines `name: value`.
func (c client) do(method, target, body string, headers ...string) (reply, error) {
	req, err := http.NewRequest(method, target, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Add(name, value)
	}
	if body != "" {
		req.Header.Set("content-type", "application/x-www-form-urlencoded")
	}
	res, err := c.Do(req)
	if err != nil {
		return reply{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	r := reply{Response: res, body: string(b)}
	var s seen
	if json.Unmarshal(b, &s) == nil && s.Path != "" {
		r.app = &s
	}
	return r, err
}

// get is do for a page that must come.
func (c client) get(t testing.TB, target string, headers ...string) reply {
	t.Helper()
	r, err := c.do("GET", target, "", append(headers, "Accept: text/html", "Sec-Fetch-Mode: navigate")...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// login logs somebody in.
func (c client) login(t testing.TB, base, user string) {
	t.Helper()
	r, err := c.do("POST", base+"/login", url.Values{"user": {user}}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if r.StatusCode != 200 || !strings.Contains(strings.Join(r.Header.Values("set-cookie"), "\n"), "__Host-session=") {
		t.Fatalf("login: %v", r)
	}
}
