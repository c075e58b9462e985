package e2e

import (
	"bytes"
	"crypto/tls"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Trailers with nothing in them: http/2 can say that, and the host then has no list to give.
func TestEmptyTrailers(t *testing.T) {
	e := start(t, setup{
		app: newApp(t), env: map[string]string{"CURFEW_KEY": newKey()}, trailers: true,
		config: `{"keys": [{"id": "k1", "secret_env": "CURFEW_KEY"}], "login": {"url": "/login"},
			"rules": [{"path_prefix": "/", "session": "optional"}]}`,
	})
	for i := range 3 {
		if status := postWithEmptyTrailers(t, e.https); status != "200" {
			t.Errorf("request %d: status %q", i, status)
		}
	}
	e.noTrap(t)
}

// postWithEmptyTrailers returns the status of a POST that ends in an empty header block.
func postWithEmptyTrailers(t *testing.T, addr string) (status string) {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}}) //nolint:gosec // a certificate of this test's own
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = conn.Write([]byte(http2.ClientPreface))
	fr := http2.NewFramer(conn, conn)
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, h := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", "localhost"}, {":path", "/open"}} {
		_ = enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	_ = fr.WriteSettings()
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true})
	_ = fr.WriteData(1, false, []byte("a=b"))
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, EndStream: true})
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if h, ok := f.(*http2.MetaHeadersFrame); ok {
			return h.PseudoValue("status")
		}
	}
}
