package cookie

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata/vectors.json again")

const vectorsFile = "testdata/vectors.json"

type vectorFile struct {
	Comment string   `json:"comment"`
	Vectors []vector `json:"vectors"`
}

type vector struct {
	Name      string          `json:"name"`
	Kind      string          `json:"kind"`
	Options   vectorOptions   `json:"options"`
	Keys      []vectorKey     `json:"keys"`
	SessionID string          `json:"session_id,omitempty"`
	Now       int64           `json:"now"`
	Token     string          `json:"token"`
	Class     string          `json:"class,omitempty"`
	Fields    json.RawMessage `json:"fields,omitempty"`
}

type vectorOptions struct {
	Name     string `json:"name"`
	Audience string `json:"audience"`
	Mode     string `json:"mode"`
	Skew     int64  `json:"skew"`
}

type vectorKey struct {
	ID          string `json:"id"`
	Secret      string `json:"secret"`
	SignFrom    int64  `json:"sign_from"`
	VerifyUntil int64  `json:"verify_until"`
}

type sessionFields struct {
	ID              string          `json:"id"`
	Remember        bool            `json:"remember"`
	Persistent      bool            `json:"persistent"`
	Browser         bool            `json:"browser"`
	Refused         bool            `json:"refused"`
	StartedAt       int64           `json:"started_at"`
	AuthenticatedAt int64           `json:"authenticated_at"`
	IssuedAt        int64           `json:"issued_at"`
	Idle            int64           `json:"idle"`
	Absolute        int64           `json:"absolute"`
	Revision        uint32          `json:"revision"`
	Subject         string          `json:"subject"`
	Data            string          `json:"data"`
	Wrapped         []wrappedFields `json:"wrapped"`
	Current         bool            `json:"current"`
}

type wrappedFields struct {
	Authenticates bool   `json:"authenticates"`
	Name          string `json:"name"`
	Path          string `json:"path"`
	Expires       int64  `json:"expires"`
	Value         string `json:"value"`
}

func fieldsOf(o Opened) sessionFields {
	s, wrapped := o.Session, []wrappedFields{}
	for w, rest, ok := CutWrapped(s.Wrapped); ok; w, rest, ok = CutWrapped(rest) {
		wrapped = append(wrapped, wrappedFields{w.Authenticates, w.Name, w.Path, w.Expires, w.Value})
	}
	return sessionFields{
		hex.EncodeToString(s.ID[:]), s.Remember, s.Lifetime == Persistent, s.Lifetime == Browser, s.Refused,
		s.StartedAt, s.AuthenticatedAt, s.IssuedAt, s.Idle, s.Absolute, s.Revision, s.Subject, s.Data, wrapped, o.Current,
	}
}

type touchFields struct {
	Seen    int64 `json:"seen"`
	Current bool  `json:"current"`
}

var classes = map[string]error{
	"length": ErrLength, "version": ErrVersion, "key": ErrKey, "encoding": ErrEncoding,
	"mac": ErrMAC, "payload": ErrPayload, "time": ErrTime,
}

func classOf(err error) string {
	for class, e := range classes {
		if errors.Is(err, e) {
			return class
		}
	}
	return fmt.Sprint(err)
}

func (v *vector) codec(t testing.TB) *Codec {
	t.Helper()
	var keys []Key
	for _, k := range v.Keys {
		secret, err := hex.DecodeString(k.Secret)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, Key{ID: k.ID, Secret: secret, SignFrom: k.SignFrom, VerifyUntil: k.VerifyUntil})
	}
	o := v.Options
	return testCodec(t, Options{Name: o.Name, Audience: o.Audience, Sealed: o.Mode == "sealed", Skew: o.Skew}, keys...)
}

// open returns the fields of a vector's token as JSON, or the class of its fault.
func (v *vector) open(t testing.TB) (fields, class string) {
	t.Helper()
	var result any
	var err error
	if c := v.codec(t); v.Kind == "touch" {
		var id ID
		if _, err := hex.Decode(id[:], []byte(v.SessionID)); err != nil {
			t.Fatal(err)
		}
		var f touchFields
		f.Seen, f.Current, err = c.OpenTouch(v.Token, id, v.Now)
		result = f
	} else {
		var o Opened
		o, err = c.Open(v.Token, v.Now)
		result = fieldsOf(o)
	}
	if err != nil {
		return "", classOf(err)
	}
	return string(marshal(t, result)), ""
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSpace(b.Bytes())
}

func readVectors(t testing.TB) []vector {
	t.Helper()
	b, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	var f vectorFile
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	return f.Vectors
}

func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t, vectorsFile, generateVectors(t))
	}
	good, names := 0, map[string]bool{}
	vectors := readVectors(t)
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			fields, class := v.open(t)
			var want bytes.Buffer
			if v.Fields != nil {
				good++
				if err := json.Compact(&want, v.Fields); err != nil {
					t.Fatal(err)
				}
			}
			if fields != want.String() || class != v.Class {
				t.Errorf("fields %s, class %q; want %s, %q", fields, class, want.String(), v.Class)
			}
		})
		if names[v.Name] {
			t.Errorf("two vectors are named %q", v.Name)
		}
		names[v.Name] = true
	}
	if bad := len(vectors) - good; good < 100 || bad < 400 {
		t.Errorf("%d good and %d bad vectors, want at least 100 and 400", good, bad)
	}
}

// What we write must stay what we wrote, not only what we can read.
func TestVectorsAreWhatIsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vectors.json")
	writeVectors(t, path, generateVectors(t))
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("vectors.json differs from what this code writes (-file +code); if format 1 is not released yet, go test -update ./cookie:\n%s", diff)
	}
}

func TestSecondReader(t *testing.T) {
	changed := readVectors(t)
	changed[0].Fields = json.RawMessage(`{"seen":1}`)
	changed[len(changed)-1].Class = "good luck"
	bent := filepath.Join(t.TempDir(), "vectors.json")
	writeVectors(t, bent, changed)

	out, err := runReader(t, vectorsFile)
	if want := fmt.Sprintf("%d of %d vectors agree\n", len(changed), len(changed)); err != nil || out != want {
		t.Errorf("%v, %q; want %q", err, out, want)
	}
	out, err = runReader(t, bent)
	if err == nil || !strings.Contains(out, "disagree: "+changed[0].Name+":") || strings.Count(out, "disagree: ") != 2 {
		t.Errorf("two vectors changed: %v, %q; want a failure that names them", err, out)
	}
}

func runReader(t *testing.T, vectors string) (string, error) {
	t.Helper()
	python := os.Getenv("CURFEW_PYTHON")
	if python == "" {
		t.Fatal("CURFEW_PYTHON is not set to a Python with the package cryptography; run: make test")
	}
	const reader = "testdata/reader.py"
	if _, err := os.Stat(reader); err != nil { // also tells Go's test cache of this file
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), python, reader, vectors).CombinedOutput()
	return string(out), err
}

func TestDocumentedTokensAreVectors(t *testing.T) {
	doc, err := os.ReadFile("../docs/format.md")
	if err != nil {
		t.Fatal(err)
	}
	tokens := map[string]string{}
	for _, v := range readVectors(t) {
		if tokens[v.Token] == "" {
			tokens[v.Token] = v.Name
		}
	}
	var found []string
	for _, line := range strings.Split(string(doc), "\n") {
		if token, ok := strings.CutPrefix(line, "    token: "); ok {
			found = append(found, tokens[token])
		}
	}
	if diff := cmp.Diff([]string{"signed: full", "sealed: full", "touch: ordinary"}, found); diff != "" {
		t.Error(diff)
	}
	for _, purpose := range []string{"signed", "sealed", "touch"} {
		b, err := derive(testKey("a").Secret, purpose, testName, "shop")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(doc), hex.EncodeToString(b)) {
			t.Errorf("the worked example lacks sub-key %q, %x", purpose, b)
		}
	}
	if want := hex.EncodeToString([]byte(wrappedOf(loginCookie()))); !strings.Contains(string(doc), "    "+want+"\n") {
		t.Errorf("the section on wrapped cookies lacks its example, %s", want)
	}
}

func writeVectors(t testing.TB, path string, vectors []vector) {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("{\n\"comment\": \"Token format 1 (docs/format.md). The secrets are for tests only: SHA-256 of 'curfew test key ' and the key's id.\",\n\"vectors\": [\n")
	for i, v := range vectors {
		b.Write(marshal(t, v))
		if i < len(vectors)-1 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
	}
	b.WriteString("]\n}\n")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// generator collects vectors that share what setup says, until it is changed.
type generator struct {
	t       testing.TB
	opt     Options
	keys    []Key
	now     int64
	vectors []vector
}

func (g *generator) mode() string {
	if g.opt.Sealed {
		return "sealed"
	}
	return "signed"
}

func (g *generator) vector(kind, name, token string) vector {
	v := vector{
		Name: name, Kind: kind, Now: g.now, Token: token,
		Options: vectorOptions{g.opt.Name, g.opt.Audience, g.mode(), g.opt.Skew},
	}
	for _, k := range g.keys {
		v.Keys = append(v.Keys, vectorKey{k.ID, hex.EncodeToString(k.Secret), k.SignFrom, k.VerifyUntil})
	}
	if kind == "touch" {
		id := testID()
		v.SessionID = hex.EncodeToString(id[:])
	}
	return v
}

func (g *generator) good(kind, name, token string) {
	g.t.Helper()
	if kind == "session" {
		name = g.mode() + ": " + name
	} else {
		name = "touch: " + name
	}
	v := g.vector(kind, name, token)
	fields, class := v.open(g.t)
	if class != "" {
		g.t.Fatalf("good vector %q is refused: %s", name, class)
	}
	v.Fields = json.RawMessage(fields)
	g.vectors = append(g.vectors, v)
}

func (g *generator) bad(kind, class, name, token string) {
	label := g.mode()
	if kind == "touch" {
		label = "touch"
	}
	v := g.vector(kind, label+": "+class+": "+name, token)
	v.Class = class
	g.vectors = append(g.vectors, v)
}

// session adds a good session vector, sealed by the first key.
func (g *generator) session(name string, change func(*Session)) {
	s := testSession()
	change(&s)
	g.good("session", name, forge(g.t, g.opt, g.keys[0], payloadOf(s)))
}

func (g *generator) touch(name string, seen int64) {
	g.good("touch", name, forgeTouch(g.t, g.opt, g.keys[0], testID(), seen))
}

func forgeTouch(t testing.TB, opt Options, key Key, id ID, seen int64) string {
	t.Helper()
	sub, err := derive(key.Secret, "touch", opt.Name, opt.Audience)
	if err != nil {
		t.Fatal(err)
	}
	prefix, body := "1t."+key.ID+".", appendUint(nil, 5, uint64(seen))
	mac := hmacSum(sub, prefix, append(id[:], body...))
	return prefix + base64url.EncodeToString(append(body, mac[:16]...))
}

func generateVectors(t testing.TB) []vector {
	g := &generator{t: t}
	for _, sealed := range []bool{false, true} {
		g.reset(sealed)
		g.goodSessions()
		g.reset(sealed)
		g.goodFlags()
		g.goodWrapped()
		g.goodKeys()
	}
	g.reset(false)
	g.goodTouches()
	for _, sealed := range []bool{false, true} {
		g.reset(sealed)
		g.badTokens()
		g.badBodies()
		g.badPayloads()
		g.badKeys()
	}
	g.reset(false)
	g.foreign()
	g.badTouches()
	return g.vectors
}

func (g *generator) reset(sealed bool) {
	g.opt, g.keys, g.now = testOptions(sealed), []Key{testKey("a")}, testNow
}

func (g *generator) goodSessions() {
	g.session("full", func(*Session) {})
	g.session("anonymous, no data", func(s *Session) { s.Subject, s.AuthenticatedAt, s.Data = "", 0, "" })
	g.session("anonymous with data", func(s *Session) { s.Subject, s.AuthenticatedAt = "", 0 })
	g.session("remember", func(s *Session) { s.Remember = true })
	g.session("own timeouts, longest", func(s *Session) { s.Idle, s.Absolute = MaxOverride, MaxOverride })
	g.session("own timeouts, shortest", func(s *Session) { s.Idle, s.Absolute = 1, 1 })
	g.session("greatest revision", func(s *Session) { s.Revision = 1<<32 - 1 })
	g.session("longest subject", func(s *Session) { s.Subject = strings.Repeat("s", MaxSubject) })
	g.session("subject beyond ASCII", func(s *Session) { s.Subject = "Zoë 漢字 \U0001F36A" })
	g.session("data beyond ASCII", func(s *Session) { s.Data = `{"name":"Zoë","n":[1,2.5,null]}` })
	g.session("empty object", func(s *Session) { s.Data = "{}" })
	g.session("all times equal", func(s *Session) { s.StartedAt, s.AuthenticatedAt = s.IssuedAt, s.IssuedAt })
	g.session("issued at now + skew", func(s *Session) { s.IssuedAt = g.now + g.opt.Skew })
	g.now = MaxTime
	g.session("last second of the format", func(s *Session) { s.StartedAt, s.AuthenticatedAt, s.IssuedAt = MaxTime, MaxTime, MaxTime })
	for _, at := range []int64{0, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32} {
		g.now = at
		g.session(fmt.Sprint("issued at ", at), func(s *Session) { s.StartedAt, s.AuthenticatedAt, s.IssuedAt = at, at, at })
	}
}

func (g *generator) goodFlags() {
	g.session("persistent", func(s *Session) { s.Lifetime = Persistent })
	g.session("browser", func(s *Session) { s.Lifetime = Browser })
	g.session("refused", func(s *Session) { s.Refused = true })
	g.session("remember, persistent", func(s *Session) { s.Remember, s.Lifetime = true, Persistent })
	g.session("remember, browser, refused", func(s *Session) { s.Remember, s.Lifetime, s.Refused = true, Browser, true })
}

// appCookie is a wrapped cookie that breaks no rule.
func appCookie() Wrapped {
	return Wrapped{Name: "sessionid", Path: "/", Value: "abc", Expires: testNow + 3600}
}

// loginCookie is one that authenticates.
func loginCookie() Wrapped {
	w := appCookie()
	w.Authenticates = true
	return w
}

// wrappedWith is what a session wraps if of one cookie something is changed.
func wrappedWith(change func(*Wrapped)) string {
	w := appCookie()
	change(&w)
	return wrappedOf(w)
}

// many cookies that are told apart by name.
func manyWrapped(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(wrappedOf(Wrapped{Name: fmt.Sprint("c", i), Path: "/", Value: "x"}))
	}
	return b.String()
}

func (g *generator) goodWrapped() {
	nobody := func(s *Session) { s.Subject, s.AuthenticatedAt = "", 0 }
	wrap := func(name, wrapped string) {
		g.session(name, func(s *Session) { nobody(s); s.Wrapped = wrapped })
	}
	with := func(name string, change func(*Wrapped)) { wrap(name, wrappedWith(change)) }
	login, theme := loginCookie(), Wrapped{Name: "theme", Path: "/", Value: "dark"}
	g.session("wrapped: authenticates", func(s *Session) { s.Subject, s.Wrapped = "", wrappedOf(login) })
	g.session("wrapped: last of two authenticates", func(s *Session) { s.Subject, s.Wrapped = "", wrappedOf(theme, login) })
	g.session("wrapped: beside a subject", func(s *Session) { s.Wrapped = wrappedOf(theme) })
	g.session("wrapped: authenticates, beside a subject", func(s *Session) { s.Wrapped = wrappedOf(login) })
	g.session("wrapped: authenticates, all times equal", func(s *Session) {
		s.Subject, s.Wrapped = "", wrappedOf(login)
		s.StartedAt, s.AuthenticatedAt = s.IssuedAt, s.IssuedAt
	})
	wrap("wrapped: of nobody", wrappedOf(appCookie()))
	wrap("wrapped: 16 cookies", manyWrapped(MaxWrapped))
	wrap("wrapped: a name at two paths", wrappedOf(theme, Wrapped{Name: "theme", Path: "/shop", Value: "light"}))
	wrap("wrapped: names that differ in case", wrappedOf(theme, Wrapped{Name: "Theme", Path: "/", Value: "light"}))
	wrap("wrapped: paths that differ in case", wrappedOf(Wrapped{Name: "a", Path: "/s"}, Wrapped{Name: "a", Path: "/S"}))
	with("wrapped: name of 64 bytes", func(w *Wrapped) { w.Name = strings.Repeat("n", MaxWrappedName) })
	with("wrapped: name with other signs", func(w *Wrapped) { w.Name = `a b,"c"é` })
	with("wrapped: path of 255 bytes", func(w *Wrapped) { w.Path = "/" + strings.Repeat("p", MaxWrappedPath-1) })
	with("wrapped: path with other signs", func(w *Wrapped) { w.Path = `/a b=,"é` })
	with("wrapped: no value", func(w *Wrapped) { w.Value = "" })
	with("wrapped: value with other signs", func(w *Wrapped) { w.Value = `"a b", c=d==\é` })
	with("wrapped: value not UTF-8", func(w *Wrapped) { w.Value = "a\xffb" })
	with("wrapped: value of 1024 bytes", func(w *Wrapped) { w.Value = strings.Repeat("v", 1024) })
	with("wrapped: with the browser's session", func(w *Wrapped) { w.Expires = 0 })
	with("wrapped: expired", func(w *Wrapped) { w.Expires = 1 })
	with("wrapped: latest expiry", func(w *Wrapped) { w.Expires = MaxTime })
}

func (g *generator) goodKeys() {
	a, b := testKey("a"), testKey("b")
	b.SignFrom = testNow - 10
	g.keys = []Key{a, b}
	g.session("under a key that no longer signs", func(*Session) {})
	b.SignFrom = testNow + 10
	g.keys = []Key{b, a}
	g.session("under a key that does not sign yet", func(*Session) {})
	a.VerifyUntil = testNow
	g.keys = []Key{a}
	g.session("key in its last second", func(*Session) {})
	g.keys = []Key{testKey("0123456789-_AZaz")}
	g.session("key id of 16 bytes", func(*Session) {})
	g.keys = []Key{testKey("a")}
	g.opt.Audience = ""
	g.session("no audience", func(*Session) {})
	g.opt.Name = "sid"
	g.session("name without prefix", func(*Session) {})
	g.opt.Skew = 0
	g.session("no skew, issued now", func(s *Session) { s.IssuedAt = g.now })
	g.keys = []Key{testKey("ab")}
	g.opt.Name = testName
	// 4096 - 14 (name) - 6 (prefix) = 4076 characters = 3057 bytes.
	around := fixedSize + 32
	if g.opt.Sealed {
		around = fixedSize + 24 + 16
	}
	g.session("name and token of 4096 bytes", func(s *Session) {
		s.Subject = "s"
		s.Data = `{"a":"` + strings.Repeat("x", 3057-around-1-8) + `"}`
	})
}

func (g *generator) goodTouches() {
	g.touch("ordinary", testNow-testNow%60)
	g.touch("at now + skew", g.now+g.opt.Skew)
	g.touch("at 0", 0)
	g.keys = []Key{testKey("a"), testKey("b")}
	g.keys[1].SignFrom = 1
	g.touch("under a key that no longer signs", g.now)
	g.keys = []Key{testKey("0123456789-_AZaz")}
	g.touch("key id of 16 bytes", g.now)
	g.reset(true)
	g.touch("beside a sealed session", g.now)
	g.now = MaxTime
	g.touch("last second of the format", MaxTime)
}

// sessionToken is an authentic token of the current setup.
func (g *generator) sessionToken() string {
	return forge(g.t, g.opt, g.keys[0], payloadOf(testSession()))
}

func (g *generator) badTokens() {
	token := g.sessionToken()
	tag, body := token[:3], token[5:]
	long := tag + "a." + strings.Repeat("A", MaxPair)
	for _, c := range []struct{ class, name, token string }{
		{"length", "empty", ""},
		{"length", "two bytes", tag[:2]},
		{"length", "one byte over the cap", long[:MaxPair-len(testName)+1]},
		{"mac", "zeros up to the cap", long[:MaxPair-len(testName)-2]},
		{"version", "version 2", "2" + token[1:]},
		{"version", "version 0", "0" + token[1:]},
		{"version", "upper case tag", strings.ToUpper(tag) + token[3:]},
		{"version", "space before", " " + token},
		{"version", "in quotes", `"` + token + `"`},
		{"version", "no tag", token[3:]},
		{"version", "touch tag", "1t." + token[3:]},
		{"version", "dot first", "." + token},
		{"key", "tag alone", tag},
		{"key", "no dot after key id", tag + "a" + body},
		{"key", "empty key id", tag + "." + body},
		{"key", "empty key id, twice", tag + ".." + body},
		{"key", "unknown key id", tag + "z." + body},
		{"key", "key id in upper case", tag + "A." + body},
		{"key", "key id with a space", tag + "a ." + body},
		{"key", "key id of 17 bytes", tag + strings.Repeat("a", 17) + "." + body},
		{"key", "key id __proto__", tag + "__proto__." + body},
		{"key", "key id ../a", tag + "../a." + body},
		{"key", "key id %00", tag + "%00." + body},
		{"key", "key id NUL", tag + "a\x00." + body},
		{"key", "key id is a prefix", tag + "aa." + body},
		{"encoding", "padded", token + "="},
		{"encoding", "padded twice", token + "=="},
		{"encoding", "line feed at the end", token + "\n"},
		{"encoding", "carriage return at the end", token + "\r"},
		{"encoding", "line feed inside", token[:20] + "\n" + token[20:]},
		{"encoding", "carriage return inside", token[:20] + "\r" + token[20:]},
		{"encoding", "space at the end", token + " "},
		{"encoding", "plus", token[:20] + "+" + token[21:]},
		{"encoding", "slash", token[:20] + "/" + token[21:]},
		{"encoding", "percent", token + "%3D"},
		{"encoding", "another segment", token + ".AAAA"},
		{"encoding", "dot at the end", token + "."},
		{"encoding", "one character", tag + "a.A"},
		{"encoding", "NUL at the end", token + "\x00"},
		{"encoding", "beyond ASCII", token + "é"},
	} {
		g.bad("session", c.class, c.name, c.token)
	}
}

func (g *generator) badBodies() {
	token := g.sessionToken()
	tag := token[:3]
	raw, err := base64url.DecodeString(token[5:])
	if err != nil {
		g.t.Fatal(err)
	}
	edit := func(f func(b []byte) []byte) string {
		return tag + "a." + base64url.EncodeToString(f(append([]byte(nil), raw...)))
	}
	flip := func(i int) string { return edit(func(b []byte) []byte { b[i] ^= 1; return b }) }
	for tokenBits := range 2 { // a body of 1 and of 2 bytes over a multiple of 3 has unused bits
		short := base64url.EncodeToString(raw[:31+tokenBits])
		g.bad("session", "encoding", fmt.Sprint("unused bits set, ", len(short)%4, " characters over"), tag+"a."+short[:len(short)-1]+"_")
	}
	other := testSession()
	other.Subject = "user-43"
	relabelled := testOptions(!g.opt.Sealed)
	otherName, otherAudience, joined := g.opt, g.opt, g.opt
	otherName.Name, otherAudience.Audience = "__Host-other", "bank"
	joined.Name, joined.Audience = testName+"s", "hop"
	swapped := forge(g.t, g.opt, g.keys[0], payloadOf(other))
	payload := payloadOf(testSession())
	for _, c := range []struct{ name, token string }{
		{"empty body", tag + "a."},
		{"first byte flipped", flip(0)},
		{"middle flipped", flip(len(raw) / 2)},
		{"last byte flipped", flip(len(raw) - 1)},
		{"cut by one byte", edit(func(b []byte) []byte { return b[:len(b)-1] })},
		{"cut by its tag", edit(func(b []byte) []byte { return b[:len(b)-32] })},
		{"one byte more", edit(func(b []byte) []byte { return append(b, 0) })},
		{"one byte before", edit(func(b []byte) []byte { return append([]byte{0}, b...) })},
		{"all zero", edit(func(b []byte) []byte { return make([]byte, len(b)) })},
		{"tag all zero", edit(func(b []byte) []byte { return append(b[:len(b)-32], make([]byte, 32)...) })},
		{"31 bytes", edit(func(b []byte) []byte { return b[:31] })},
		{"23 bytes", edit(func(b []byte) []byte { return b[:23] })},
		{"39 bytes", edit(func(b []byte) []byte { return b[:39] })},
		{"end of another token", token[:len(token)-22] + swapped[len(swapped)-22:]},
		{"of the other mode under this tag", tag + forge(g.t, relabelled, g.keys[0], payload)[3:]},
		{"for another name", forge(g.t, otherName, g.keys[0], payload)},
		{"for another audience", forge(g.t, otherAudience, g.keys[0], payload)},
		{"name and audience joined elsewhere", forge(g.t, joined, g.keys[0], payload)},
		{"another secret under this id", forge(g.t, g.opt, Key{ID: "a", Secret: testKey("b").Secret}, payload)},
		{"touch under this tag", tag + forgeTouch(g.t, g.opt, g.keys[0], testID(), testNow)[3:]},
		{"case changed", tag + "a." + swapCase(token[5:len(token)-1]) + token[len(token)-1:]},
	} {
		g.bad("session", "mac", c.name, c.token)
	}
	g.bad("session", "version", "of the other mode", forge(g.t, relabelled, g.keys[0], payload))
}

func swapCase(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r ^ 0x20
		}
		return r
	}, s)
}

// badPayload is an authentic payload that breaks one rule. Offsets are those of docs/format.md.
type badPayload struct {
	name    string
	session func(*Session)
	bytes   func([]byte) []byte
}

var badPayloads = []badPayload{
	{name: "started after issued", session: func(s *Session) { s.StartedAt, s.AuthenticatedAt = s.IssuedAt+1, s.IssuedAt+1 }},
	{name: "anonymous, started after issued", session: func(s *Session) { s.Subject, s.AuthenticatedAt, s.StartedAt = "", 0, s.IssuedAt+1 }},
	{name: "authenticated before started", session: func(s *Session) { s.AuthenticatedAt = s.StartedAt - 1 }},
	{name: "authenticated after issued", session: func(s *Session) { s.AuthenticatedAt = s.IssuedAt + 1 }},
	{name: "subject, never authenticated", session: func(s *Session) { s.AuthenticatedAt = 0 }},
	{name: "authenticated, no subject", session: func(s *Session) { s.Subject = "" }},
	{name: "idle over 400 days", session: func(s *Session) { s.Idle = MaxOverride + 1 }},
	{name: "absolute over 400 days", session: func(s *Session) { s.Absolute = MaxOverride + 1 }},
	{name: "greatest idle", session: func(s *Session) { s.Idle = 1<<32 - 1 }},
	{name: "subject of 257 bytes", session: func(s *Session) { s.Subject = strings.Repeat("s", 257) }},
	{name: "subject with NUL", session: func(s *Session) { s.Subject = "a\x00b" }},
	{name: "subject with line feed", session: func(s *Session) { s.Subject = "a\nb" }},
	{name: "subject with carriage return", session: func(s *Session) { s.Subject = "a\rb" }},
	{name: "subject with tab", session: func(s *Session) { s.Subject = "a\tb" }},
	{name: "subject with 0x1f", session: func(s *Session) { s.Subject = "a\x1fb" }},
	{name: "subject with DEL", session: func(s *Session) { s.Subject = "a\x7fb" }},
	{name: "subject with a space first", session: func(s *Session) { s.Subject = " a" }},
	{name: "subject with a space last", session: func(s *Session) { s.Subject = "a " }},
	{name: "subject of one space", session: func(s *Session) { s.Subject = " " }},
	{name: "subject not UTF-8", session: func(s *Session) { s.Subject = "a\xff" }},
	{name: "subject with a surrogate", session: func(s *Session) { s.Subject = "\xed\xa0\x80" }},
	{name: "subject with an overlong form", session: func(s *Session) { s.Subject = "\xc0\xae" }},
	{name: "data an array", session: func(s *Session) { s.Data = "[]" }},
	{name: "data half an object", session: func(s *Session) { s.Data = "{" }},
	{name: "data the other half", session: func(s *Session) { s.Data = "}" }},
	{name: "data null", session: func(s *Session) { s.Data = "null" }},
	{name: "data with a space before", session: func(s *Session) { s.Data = " {}" }},
	{name: "data with a line feed after", session: func(s *Session) { s.Data = "{}\n" }},
	{name: "persistent and browser", bytes: func(b []byte) []byte { b[0] |= 2 | 4; return b }},
	{name: "all flags", bytes: func(b []byte) []byte { b[0] |= 15; return b }},
	{name: "flag bit 4", bytes: func(b []byte) []byte { b[0] |= 0x10; return b }},
	{name: "flag bit 7", bytes: func(b []byte) []byte { b[0] |= 0x80; return b }},
	{name: "subject one byte longer into data", bytes: func(b []byte) []byte { b[45]++; return b }},
	{name: "subject one byte shorter", bytes: func(b []byte) []byte { b[45]--; return b }},
	{name: "subject longer than the payload", bytes: func(b []byte) []byte { b[44] = 0xff; return b }},
	{name: "one byte of wrapped cookies", bytes: func(b []byte) []byte { b[len(b)-1] = 1; return append(b, 'x') }},
	{name: "wrapped cookies beyond the end", bytes: func(b []byte) []byte { b[len(b)-1] = 1; return b }},
	{name: "wrapped cookies, high byte", bytes: func(b []byte) []byte { b[len(b)-2] = 1; return b }},
	{name: "a byte after it", bytes: func(b []byte) []byte { return append(b, 0) }},
	{name: "a payload after it", bytes: func(b []byte) []byte { return append(b, b...) }},
	{name: "cut by a byte", bytes: func(b []byte) []byte { return b[:len(b)-1] }},
	{name: "cut by the wrapped section", bytes: func(b []byte) []byte { return b[:len(b)-2] }},
	{name: "a byte before it", bytes: func(b []byte) []byte { return append([]byte{0}, b...) }},
	{name: "id one byte short", bytes: func(b []byte) []byte { return append(b[:1:1], b[2:]...) }},
	{name: "empty", bytes: func([]byte) []byte { return nil }},
	{name: "one byte", bytes: func(b []byte) []byte { return b[:1] }},
	{name: "32 zero bytes", bytes: func([]byte) []byte { return make([]byte, 32) }},
	{name: "JSON", bytes: func([]byte) []byte { return []byte(`{"sub":"admin","sub":"user","exp":1e400}`) }},
	{name: "gzip", bytes: func([]byte) []byte {
		return []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	}},
}

// badWrapped are sections of wrapped cookies that break one rule each. The sessions around them have a
// subject, so that nothing else is wrong.
var badWrapped = func() (all []badPayload) {
	add := func(name, wrapped string) {
		all = append(all, badPayload{name: "wrapped: " + name, session: func(s *Session) { s.Wrapped = wrapped }})
	}
	one := wrappedOf(appCookie())
	for _, cut := range []struct {
		at   int
		name string
	}{
		{1, "flags"}, {2, "length of name"}, {6, "middle of name"}, {11, "name"}, {12, "length of path"}, {13, "path"},
		{15, "middle of expires"}, {18, "expires"}, {19, "middle of length of value"}, {20, "length of value"}, {22, "middle of value"},
	} {
		add("cut behind "+cut.name, one[:cut.at])
		add("second cookie cut behind "+cut.name, wrappedOf(Wrapped{Name: "a", Path: "/"})+one[:cut.at])
	}
	add("a byte more", one+"\x00")
	add("flag bit 1", "\x02"+one[1:])
	add("flag bit 7", "\x80"+one[1:])
	add("flags 0xff", "\xff"+one[1:])
	add("value one byte longer", one[:19]+"\x04"+one[20:])
	add("value one byte shorter", one[:19]+"\x02"+one[20:])
	add("value, high byte of its length", one[:18]+"\x01"+one[19:])
	add("name one byte longer", one[:1]+"\x0a"+one[2:])
	add("17 cookies", manyWrapped(MaxWrapped+1))
	add("the same cookie twice", one+one)
	add("one name and path, two values", one+wrappedWith(func(w *Wrapped) { w.Value, w.Expires = "def", 0 }))
	add("one name and path, another between", one+manyWrapped(1)+one)
	for _, c := range []struct {
		name   string
		change func(*Wrapped)
	}{
		{"no name", func(w *Wrapped) { w.Name = "" }},
		{"name of 65 bytes", func(w *Wrapped) { w.Name = strings.Repeat("n", MaxWrappedName+1) }},
		{"name with =", func(w *Wrapped) { w.Name = "a=b" }},
		{"name with ; in it", func(w *Wrapped) { w.Name = "a;b" }},
		{"no path", func(w *Wrapped) { w.Path = "" }},
		{"path not beginning with /", func(w *Wrapped) { w.Path = "shop/" }},
		{"path with a space first", func(w *Wrapped) { w.Path = " /" }},
		{"path with a space last", func(w *Wrapped) { w.Path = "/ " }},
		{"path with ; in it", func(w *Wrapped) { w.Path = "/a;b" }},
		{"value with ; in it", func(w *Wrapped) { w.Value = "a; b" }},
		{"value of one ;", func(w *Wrapped) { w.Value = ";" }},
	} {
		add(c.name, wrappedWith(c.change))
	}
	for _, control := range []string{"\x00", "\t", "\n", "\r", "\x1f", "\x7f"} {
		add(fmt.Sprintf("name with %q", control), wrappedWith(func(w *Wrapped) { w.Name = "a" + control + "b" }))
		add(fmt.Sprintf("path with %q", control), wrappedWith(func(w *Wrapped) { w.Path = "/" + control + "b" }))
		add(fmt.Sprintf("value with %q", control), wrappedWith(func(w *Wrapped) { w.Value = "a" + control + "b" }))
	}
	for _, s := range []string{" a", "a ", " "} {
		add(fmt.Sprintf("name %q", s), wrappedWith(func(w *Wrapped) { w.Name = s }))
		add(fmt.Sprintf("value %q", s), wrappedWith(func(w *Wrapped) { w.Value = s }))
	}
	return all
}()

// badAuthentication are authenticated_at and wrapped cookies that do not go together.
var badAuthentication = []badPayload{
	{name: "wrapped: authenticates, no authenticated_at", session: func(s *Session) {
		s.Subject, s.AuthenticatedAt, s.Wrapped = "", 0, wrappedOf(loginCookie())
	}},
	{name: "wrapped: authenticates beside a subject, no authenticated_at", session: func(s *Session) {
		s.AuthenticatedAt, s.Wrapped = 0, wrappedOf(loginCookie())
	}},
	{name: "wrapped: authenticated_at, none authenticates", session: func(s *Session) {
		s.Subject, s.Wrapped = "", wrappedOf(appCookie())
	}},
	{name: "wrapped: authenticated before started", session: func(s *Session) {
		s.Subject, s.AuthenticatedAt, s.Wrapped = "", s.StartedAt-1, wrappedOf(loginCookie())
	}},
	{name: "wrapped: authenticated after issued", session: func(s *Session) {
		s.Subject, s.AuthenticatedAt, s.Wrapped = "", s.IssuedAt+1, wrappedOf(loginCookie())
	}},
}

// allBadPayloads is all that breaks a rule of the payload.
func allBadPayloads() []badPayload { return slices.Concat(badPayloads, badWrapped, badAuthentication) }

func (p badPayload) payload() []byte {
	s := testSession()
	if p.session != nil {
		p.session(&s)
		return payloadOf(s)
	}
	return p.bytes(payloadOf(s))
}

func (g *generator) badPayloads() {
	for _, p := range allBadPayloads() {
		g.bad("session", "payload", p.name, forge(g.t, g.opt, g.keys[0], p.payload()))
	}
	for _, at := range []int64{testNow + 61, 1 << 31, 1 << 32, MaxTime} {
		s := testSession()
		s.IssuedAt = at
		g.bad("session", "time", fmt.Sprint("issued at ", at), forge(g.t, g.opt, g.keys[0], payloadOf(s)))
	}
	g.opt.Skew = 0
	s := testSession()
	s.IssuedAt = testNow + 1
	g.bad("session", "time", "no skew, issued a second ahead", forge(g.t, g.opt, g.keys[0], payloadOf(s)))
	g.opt.Skew = 60
}

func (g *generator) badKeys() {
	g.keys = []Key{testKey("a"), testKey("b")}
	token := g.sessionToken()
	g.bad("session", "mac", "another configured key's id", strings.Replace(token, ".a.", ".b.", 1))
	g.keys[0].VerifyUntil = testNow - 1
	g.bad("session", "key", "retired a second ago", token)
	g.keys = g.keys[1:]
	g.bad("session", "key", "no longer configured", token)
}

func (g *generator) foreign() {
	for _, f := range foreignTokens() {
		g.bad("session", f.class, f.name, f.token)
	}
}

type foreignToken struct{ name, class, token string }

// foreignTokens have the shape of other systems' cookies; the JWT is signed with our own secret.
func foreignTokens() []foreignToken {
	jwt := func(header string) string {
		return base64url.EncodeToString([]byte(header)) + "." + base64url.EncodeToString([]byte(`{"sub":"admin","exp":1900000000}`))
	}
	none, hs256 := jwt(`{"alg":"none"}`), jwt(`{"alg":"HS256","typ":"JWT"}`)
	secret, claims := testKey("a").Secret, []byte(`{"sub":"admin"}`)
	signed := hs256 + "." + base64url.EncodeToString(hmacSum(secret, hs256, nil))
	raw := base64url.EncodeToString(append(claims, hmacSum(secret, "1s.a.", claims)...))
	mac40 := strings.Repeat("0123456789abcdef", 4)
	return []foreignToken{
		{"JWT alg none", "version", none + "."},
		{"JWT HS256 with the same secret", "version", signed},
		{"JWT behind our prefix", "encoding", "1s.a." + signed},
		{"signed with the secret itself", "mac", "1s.a." + raw},
		{"Django", "version", `.eJxVjEEOwiAQRe_C2hCGDhRcuvcMZIYBqRqalHZlvLtt0oVu_3vvv1Wkba1x63mJk6iLAnX63ZjSM7cDyIPafdZpbusysT4UfdKub7Pk1_V0_w4q9brX:1t0ABC:` + strings.Repeat("x", 43)},
		{"Flask", "version", `eyJfdXNlcl9pZCI6IjEifQ.ZxYwVA.` + strings.Repeat("x", 27)},
		{"Rack", "version", `BAh7B0kiD3Nlc3Npb25faWQGOgZFVEkiAA%3D%3D--` + mac40[:40]},
		{"Rails", "version", strings.Repeat("Ab3", 30) + `--` + strings.Repeat("x", 16) + `--` + strings.Repeat("y", 24) + "%3D%3D"},
		{"gorilla", "version", `MTcxNjM5MDAwMHxEWDhFQVFMX2dBQUJFQUVRQUFBbF80QUFBUVp6ZEhKcGJtY01CQUFDYVdR` + "fA" + mac40[:44] + "="},
		{"express", "version", "s%3A" + mac40[:32] + "." + mac40[:43]},
		{"opaque id", "version", mac40},
	}
}

func (g *generator) badTouches() {
	token := forgeTouch(g.t, g.opt, g.keys[0], testID(), testNow)
	raw, err := base64url.DecodeString(token[5:])
	if err != nil {
		g.t.Fatal(err)
	}
	flip := func(i int) string {
		b := append([]byte(nil), raw...)
		b[i] ^= 1
		return "1t.a." + base64url.EncodeToString(b)
	}
	other := testID()
	other[15] ^= 1
	otherName, otherAudience := g.opt, g.opt
	otherName.Name, otherAudience.Audience = testName+TouchSuffix, ""
	for _, c := range []struct{ class, name, token string }{
		{"length", "empty", ""},
		{"length", "over the cap", "1t.a." + strings.Repeat("A", MaxPair)},
		{"length", "no body", "1t.a."},
		{"length", "27 characters", token[:len(token)-1]},
		{"length", "29 characters", token + "A"},
		{"length", "padded", token + "="},
		{"length", "another segment", token + ".AAAA"},
		{"version", "signed session", forge(g.t, g.opt, g.keys[0], payloadOf(testSession()))},
		{"version", "version 2", "2" + token[1:]},
		{"version", "upper case tag", "1T" + token[2:]},
		{"key", "no dot after key id", "1t.a" + token[5:]},
		{"key", "empty key id", "1t.." + token[5:]},
		{"key", "unknown key id", "1t.b." + token[5:]},
		{"encoding", "line feed", token[:len(token)-1] + "\n"},
		{"encoding", "four line feeds", "1t.a." + "\n\n\n\n" + token[9:]},
		{"encoding", "nothing but line feeds", "1t.a." + strings.Repeat("\n", 28)},
		{"encoding", "nothing but carriage returns", "1t.a." + strings.Repeat("\r", 28)},
		{"encoding", "plus", token[:len(token)-1] + "+"},
		{"encoding", "padded within 28", token[:len(token)-1] + "="},
		{"mac", "time flipped", flip(4)},
		{"mac", "first byte flipped", flip(0)},
		{"mac", "last byte flipped", flip(20)},
		{"mac", "all zero", "1t.a." + strings.Repeat("A", 28)},
		{"mac", "another session", forgeTouch(g.t, g.opt, g.keys[0], other, testNow)},
		{"mac", "name of the touch cookie", forgeTouch(g.t, otherName, g.keys[0], testID(), testNow)},
		{"mac", "another audience", forgeTouch(g.t, otherAudience, g.keys[0], testID(), testNow)},
		{"mac", "start of a session's body", "1t.a." + forge(g.t, g.opt, g.keys[0], payloadOf(testSession()))[5:33]},
		{"time", "a second beyond the skew", forgeTouch(g.t, g.opt, g.keys[0], testID(), testNow+61)},
		{"time", "2^31", forgeTouch(g.t, g.opt, g.keys[0], testID(), 1<<31)},
		{"time", "last second of the format", forgeTouch(g.t, g.opt, g.keys[0], testID(), MaxTime)},
	} {
		g.bad("touch", c.class, c.name, c.token)
	}
}
