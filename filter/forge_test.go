package filter_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/curfew-proxy/curfew/cookie"
)

const prefix = "1s.k1."

// forge is a signed token around any payload, as docs/format.md has it: by the sub-key of that purpose.
func forge(t testing.TB, secret []byte, purpose string, payload []byte) string {
	t.Helper()
	var info []byte
	for _, part := range []string{purpose, name, ""} {
		info = append(binary.BigEndian.AppendUint16(info, uint16(len(part))), part...)
	}
	key, err := hkdf.Key(sha256.New, secret, nil, string(info), sha256.Size)
	if err != nil {
		t.Fatal(err)
	}
	return macked(key, payload)
}

func macked(key, payload []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(prefix))
	mac.Write(payload)
	return prefix + base64.RawURLEncoding.EncodeToString(mac.Sum(bytes.Clone(payload)))
}

// parts are a token's payload and MAC.
func parts(t testing.TB, token string) (payload, mac []byte) {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(token, prefix))
	if err != nil {
		t.Fatal(err)
	}
	return b[:len(b)-32], b[len(b)-32:]
}

// bomb is 2 MiB of zeros, compressed.
func bomb(t testing.TB, writer func(io.Writer) io.WriteCloser) []byte {
	t.Helper()
	var b bytes.Buffer
	w := writer(&b)
	if _, err := w.Write(make([]byte, 2<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Where a payload has its times and lengths (docs/format.md).
const (
	atID            = 1
	atStarted       = 17
	atAuthenticated = 22
	atIssued        = 27
	atSubjectSize   = 44
)

// badToken is a token that is nobody's.
type badToken struct{ name, token string }

// strangers have the payload of a good token under a MAC that is not for it, or none at all.
func strangers(t *testing.T, s *site, g string, payload []byte) []badToken {
	published := sha256.Sum256([]byte("curfew test key a"))
	encode := base64.RawURLEncoding.EncodeToString
	claims := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode([]byte(`{"sub":"admin"}`))
	mac := hmac.New(sha256.New, s.secret)
	mac.Write([]byte(claims))
	jwt := claims + "." + encode(mac.Sum(nil))
	return []badToken{
		{"TM-81 JWT by the same secret", jwt},
		{"TM-81 JWT behind our prefix", prefix + jwt},
		{"TM-85 the key of the test vectors", forge(t, published[:], "signed", payload)},
		{"TM-85 a sample key", forge(t, []byte("REPLACE-ME-with-32-random-bytes-of-yours"), "signed", payload)},
		{"TM-85 zeros", forge(t, make([]byte, 32), "signed", payload)},
		{"TM-86 sub-key of touch", forge(t, s.secret, "touch", payload)},
		{"TM-86 sub-key of sealed", forge(t, s.secret, "sealed", payload)},
		{"TM-86 sub-key of no purpose", forge(t, s.secret, "", payload)},
		{"TM-86 the secret itself", macked(s.secret, payload)},
		{"TM-93 key id and body", "1s.k1" + g[len(prefix):len(prefix)+1] + "." + g[len(prefix)+1:]},
		{"TM-93 body and key id", "1s.k.1" + g[len(prefix):]},
	}
}

// misfits are authentic, around what is no session; two of them only nearly authentic.
func misfits(t *testing.T, s *site, payload, mac, joined []byte) []badToken {
	authentic := func(payload []byte) string { return forge(t, s.secret, "signed", payload) }
	with := func(at int, b ...byte) string {
		return authentic(slices.Concat(payload[:at], b, payload[at+len(b):]))
	}
	pasted := func(payload []byte) string {
		return prefix + base64.RawURLEncoding.EncodeToString(slices.Concat(payload, mac))
	}
	shortID := slices.Delete(bytes.Clone(payload), atID+15, atID+16)
	return []badToken{
		{"TM-90 id and time, not authentic", pasted(shortID)},
		{"TM-90 id a byte short", authentic(shortID)},
		{"TM-90 id a byte long", authentic(slices.Insert(bytes.Clone(payload), atID+16, 0))},
		{"TM-92 subject and data, not authentic", pasted(joined)},
		{"TM-92 subject a byte into data", with(atSubjectSize+1, payload[atSubjectSize+1]+1)},
		{"TM-92 data a byte into subject", with(atSubjectSize+1, payload[atSubjectSize+1]-1)},
		{"TM-92 subject beyond the end", with(atSubjectSize, 0xff)},
		{"TM-94 gzip", authentic(bomb(t, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }))},
		{"TM-94 zlib", authentic(bomb(t, func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }))},
		{"TM-96 sub twice in JSON", authentic([]byte(`{"sub":"admin","sub":"user"}`))},
		{"TM-97 SUB and sub in JSON", authentic([]byte(`{"SUB":"admin","sub":"user"}`))},
		{"TM-98 numbers in JSON", authentic([]byte(`{"sub":"admin","exp":1e400,"iat":-0,"n":9007199254740993}`))},
		{"TM-100 NUL", with(atSubjectSize+2, 0)},
		{"TM-100 NUL last", with(atSubjectSize+1+len(known), 0)},
		{"a byte behind it", authentic(append(bytes.Clone(payload), 0))},
		{"TI-104 issued at -1", with(atIssued, 0xff, 0xff, 0xff, 0xff, 0xff)},
		{"TI-104 started at -1", with(atStarted, 0xff, 0xff, 0xff, 0xff, 0xff)},
		{"TI-104 all at -1", with(atStarted, bytes.Repeat([]byte{0xff}, 15)...)},
		{"TI-110 1e+09 in letters", with(atIssued, []byte("1e+09")...)},
		{"TI-110 all times in letters", with(atStarted, []byte("1.6e91.6e91.6e9")...)},
		{"TI-116 authenticated after it was issued", with(atAuthenticated+4, payload[atAuthenticated+4]+1)},
		{"TI-116 authenticated in the far future", with(atAuthenticated, 0xff)},
	}
}

// Families TM and TI: tokens whose MAC is right, or is one that our keys could have made, around what
// is no session of ours.
func TestForged(t *testing.T) {
	inBoth(t, "", func(t *testing.T, s *site) {
		session := someone(known)
		session.Data = `{"a":1}`
		g := s.mint(session)
		payload, mac := parts(t, g)
		if got := forge(t, s.secret, "signed", payload); got != g {
			t.Fatalf("forged %s, the codec writes %s", got, g)
		}
		twin := someone(known + `{"a":1}`) // the same bytes in a row, were there no lengths
		twin.ID = session.ID
		joined, _ := parts(t, s.mint(twin))
		for _, c := range append(strangers(t, s, g, payload), misfits(t, s, payload, mac, joined)...) {
			line(c.name, stranger, name+"="+c.token).run(t, s)
		}
		line("TM-93 name and value", stranger, name[:len(name)-1]+"="+name[len(name)-1:]+g).run(t, s)
		line("TM-93 value and name", stranger, name+"1=s.k1."+g[len(prefix):]).run(t, s)
		s.sound(t)
	})
}

// TM-66: a retired key still names its sessions, which are over.
func TestRetiredKey(t *testing.T) {
	secret := sha256.Sum256([]byte("retired"))
	key := func(until int64) string {
		return fmt.Sprintf(`{"id": "old", "secret": %q, "verify_until": %q}`, base64.StdEncoding.EncodeToString(secret[:]), time.Unix(until, 0).UTC().Format(time.RFC3339))
	}
	for _, c := range []struct {
		name, who string
		until     int64
	}{{"TM-66 retired", stranger, epoch - 1}, {"TM-66 not yet", known, epoch + 3600}} {
		inBoth(t, "", func(t *testing.T, s *site) {
			old, err := cookie.NewCodec(cookie.Options{Name: name}, []cookie.Key{{ID: "old", Secret: secret[:]}})
			if err != nil {
				t.Fatal(err)
			}
			minter := *s
			minter.codec = old
			line(c.name, c.who, name+"="+minter.mint(someone(known))).run(t, s)
		}, key(c.until))
	}
}

// TI-120: second 60 of a minute, where a config names it, is the first of the next.
func TestLeapSecond(t *testing.T) {
	inBoth(t, `, "revoke": {"before": "2021-12-31T23:59:60Z"}`, func(t *testing.T, s *site) {
		for _, c := range []struct {
			name, who string
			started   int64
		}{{"TI-120 in the second before", stranger, epoch - 1}, {"TI-120 in it", known, epoch}} {
			session := someone(known)
			session.StartedAt, session.AuthenticatedAt = c.started, c.started
			line(c.name, c.who, name+"="+s.mint(session)).run(t, s)
		}
	})
}

// TM-101: a clock cannot show on a shared machine what a comparison leaks. What can be seen is that a
// wrong byte anywhere in a MAC is refused (TM-49), and that the codec compares what it computed in one
// way only.
func TestConstantTime(t *testing.T) {
	found := map[string]int{}
	for _, file := range []string{"codec.go", "touch.go"} {
		tree, err := parser.ParseFile(token.NewFileSet(), "../cookie/"+file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range tree.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Name.Name != "authenticate" && f.Name.Name != "OpenTouch" {
				continue
			}
			compared, computed := 0, 0
			ast.Inspect(f, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				if compares(call) {
					compared++
					for _, arg := range call.Args {
						computed += macs(arg)
					}
				}
				return true
			})
			if all := macs(f); compared != 1 || computed != 1 || all != 1 {
				t.Errorf("TM-101 %s: %d constant-time comparisons see %d of its %d MACs; want 1, 1, 1", f.Name.Name, compared, computed, all)
			}
			found[f.Name.Name]++
		}
	}
	if found["authenticate"] != 1 || found["OpenTouch"] != 1 {
		t.Errorf("TM-101: looked into %v", found)
	}
}

// compares reports whether a call is subtle.ConstantTimeCompare.
func compares(call *ast.CallExpr) bool {
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := f.X.(*ast.Ident)
	return ok && pkg.Name == "subtle" && f.Sel.Name == "ConstantTimeCompare"
}

// macs counts the calls below a node that compute a MAC, other than an AEAD's own.
func macs(n ast.Node) (count int) {
	ast.Inspect(n, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if f, ok := call.Fun.(*ast.SelectorExpr); ok && (f.Sel.Name == "mac" || f.Sel.Name == "touchSum") {
				count++
			}
		}
		return true
	})
	return count
}
