package policy

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfew-proxy/curfew/cookie"
)

// sessionOver is what Django's cookie storage keeps of a warning: tag, not marked safe, level, text, tags.
func sessionOver(text string) []any {
	return []any{[]any{"__json_message", 0.0, 30.0, text, ""}}
}

// readMessages checks and reads a cookie's value as Django does (django.core.signing, TimestampSigner),
// with nothing of ours.
func readMessages(t testing.TB, secretKey, value string) (messages []any, signedAt int64) {
	t.Helper()
	parts := strings.Split(value, ":")
	if len(parts) != 3 {
		t.Fatalf("%q is not payload, time and signature", value)
	}
	key := sha256.Sum256([]byte("django.contrib.messagessignerdjango.http.cookies" + secretKey))
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte(parts[0] + ":" + parts[1]))
	if want := base64.RawURLEncoding.EncodeToString(mac.Sum(nil)); parts[2] != want {
		t.Fatalf("signature %s, want %s", parts[2], want)
	}
	for _, c := range parts[1] {
		digit := strings.IndexRune("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", c)
		signedAt = signedAt*62 + int64(digit)
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range text {
		if c < ' ' || c > '~' {
			t.Fatalf("Django reads what is not ASCII as Latin-1: %q", text)
		}
	}
	if err := json.Unmarshal(text, &messages); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return messages, signedAt
}

// messageCookie cuts the one Set-Cookie for Django; "" where there is none.
func messageCookie(t testing.TB, a Answer) (value, attributes string) {
	t.Helper()
	for _, line := range setCookies(a.Headers) {
		rest, ok := strings.CutPrefix(line, "messages=")
		if ok && value != "" {
			t.Fatal("two cookies for Django")
		}
		if ok {
			value, attributes, _ = strings.Cut(rest, ";")
		}
	}
	return value, attributes
}

// TestDjangoMessages: whatever is wrong, only somebody whose session ended is told so: with its cookies'
// deletion, whatever asks, and on each way to the login page.
func TestDjangoMessages(t *testing.T) {
	c, list := refusals(t)
	c.django = policyOf(t, `"django_messages":{"secret_env":"DJANGO"}`).django
	told := 0
	for _, s := range list {
		ended := s.reason == IdleTimeout || s.reason == AbsoluteTimeout || s.reason == Revoked
		for _, who := range askers {
			r := who.r
			r.Path = s.path
			asked := ask(c, r, s.cookies)
			d := c.Decide(asked, epoch)
			value, attributes := messageCookie(t, c.Answer(asked, &d, epoch))
			if d.Reason != s.reason || (value != "") != (ended && (who.asker == Page || d.Drop && who.asker != Prefetch)) {
				t.Errorf("%s, %s: decided %v, messages=%q", s.name, who.name, d.Reason, value)
			}
			if value == "" {
				continue
			}
			told++
			if want := " Path=/; HttpOnly; Secure; SameSite=Lax"; attributes != want {
				t.Errorf("%s, %s: got%s, want%s", s.name, who.name, attributes, want)
			}
			messages, at := readMessages(t, testEnv("DJANGO"), value)
			if diff := cmp.Diff(sessionOver("Your session has expired. Please log in again."), messages); diff != "" || at != epoch {
				t.Errorf("%s, %s: at %d %s", s.name, who.name, at, diff)
			}
		}
	}
	if told == 0 {
		t.Error("nobody was told")
	}
}

// The answer to somebody whose session ended: to the login page, told, and rid of dead cookies.
func TestDjangoMessagesInAnswer(t *testing.T) {
	c := policyOf(t, `"django_messages":{"secret_env":"DJANGO"}`)
	asked := ask(c, Request{Accept: htmlPage}, sessionLine(t, c, someone(epoch-hour)))
	d := c.Decide(asked, epoch)
	a := c.Answer(asked, &d, epoch)
	if want := [2]string{"location", "/login?next=/page&reason=idle_timeout"}; a.Status != 302 || a.Headers[2] != want {
		t.Errorf("got %d %v", a.Status, a.Headers)
	}
	if want := [2]string{"cache-control", "no-store"}; a.Headers[0] != want {
		t.Errorf("a cache may keep it: %v", a.Headers)
	}
	var names []string
	for _, line := range setCookies(a.Headers) {
		name, _, _ := strings.Cut(line, "=")
		names = append(names, name)
	}
	if diff := cmp.Diff([]string{"messages", "__Host-session-seen", "__Host-session"}, names); diff != "" {
		t.Error(diff)
	}

	open := policyOf(t, `"django_messages":{"secret_env":"DJANGO"}`, `"rules":[{"path":"/page","session":"optional"}]`)
	asked = ask(open, Request{Accept: htmlPage}, sessionLine(t, open, someone(epoch-hour)))
	d = open.Decide(asked, epoch)
	o := keep(open, asked, &d, epoch)
	reply := open.Respond(&o, &Response{Status: 200}, epoch, counting())
	if len(reply.Cookies) != 3 || !strings.HasPrefix(reply.Cookies[0], "messages=W") {
		t.Errorf("a page open to strangers: %v", reply.Cookies)
	}
	if reply := open.Respond(&o, &Response{Status: 200}, epoch+2, counting()); len(reply.Cookies) != 0 {
		t.Errorf("told while the cookies stay, so it would be told again: %v", reply.Cookies)
	}

	if reply := open.Respond(&o, &Response{Status: 200, Messages: true}, epoch, counting()); len(reply.Cookies) != 2 {
		t.Errorf("beside a message of the app's own: %v", reply.Cookies)
	}

	out := ask(c, Request{Method: "POST", Path: "/logout", Accept: htmlPage}, sessionLine(t, c, someone(epoch-hour)))
	d = c.Decide(out, epoch)
	if value, _ := messageCookie(t, c.Answer(out, &d, epoch)); d.Verdict != Logout || value != "" {
		t.Errorf("a logout: %v, messages=%q", d.Verdict, value)
	}
}

// The value that Django itself makes of the same text, key and second.
func TestDjangoMessagesVector(t *testing.T) {
	const secretKey, now = "edge-example-secret-key-0123456789abcdefghijklmnopqrst", 1767225600
	const want = "W1siX19qc29uX21lc3NhZ2UiLDAsMzAsIllvdXIgc2Vzc2lvbiBoYXMgZXhwaXJlZC4gUGxlYXNlIGxvZyBpbiBhZ2Fpbi4iLCIiXV0:1vb66i:0Ps0heomFckvxbFe-C87fFvYEyYDxgdEkga-LMDUboM"
	c := policyOf(t, `"django_messages":{"secret_env":"DJANGO"}`)
	signer, err := cookie.NewDjangoSigner(secretKey) // which a config would refuse, as a sample
	if err != nil {
		t.Fatal(err)
	}
	c.django.signer = signer
	asked := ask(c, Request{Accept: htmlPage}, sessionLine(t, c, someone(now-hour)))
	d := c.Decide(asked, now)
	value, _ := messageCookie(t, c.Answer(asked, &d, now))
	if value != want {
		t.Errorf("got %s\nwant %s", value, want)
	}
	readMessages(t, secretKey, value)
}

func TestDjangoMessagesConfig(t *testing.T) {
	const odd = "Zu lange weg – <b>\"bitte\"</b> & nochmal 🍪\n"
	quoted, err := json.Marshal(odd)
	if err != nil {
		t.Fatal(err)
	}
	plainHTTP := `"allow_insecure":true,"cookie":{"name":"s","secure":false,"path":"/","same_site":"Strict"}`
	shared := `"cookie":{"name":"__Secure-s","domain":"shop.example","same_site":"None","partitioned":true}`
	const common = "Your session has expired. Please log in again."
	for _, tt := range []struct{ name, more, django, secretKey, text, attributes string }{
		{"text", `"audience":"x"`, `"secret_env":"DJANGO","text":` + string(quoted), testEnv("DJANGO"), odd, " Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"secret inline, beyond ASCII", `"audience":"x"`, `"secret":"djangó-8f2k!q0z7wd4@xv1mtp9#r6b"`, "djangó-8f2k!q0z7wd4@xv1mtp9#r6b", common, " Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"a secret in base64 is Django's as it stands", `"audience":"x"`, `"secret":"` + secretB + `"`, secretB, common, " Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"plain http", plainHTTP, `"secret_env":"DJANGO"`, testEnv("DJANGO"), common, " Path=/; HttpOnly; SameSite=Lax"},
		{"shared cookie", shared, `"secret_env":"DJANGO"`, testEnv("DJANGO"), common, " Path=/; HttpOnly; Secure; SameSite=Lax"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := policyOf(t, tt.more, `"django_messages":{`+tt.django+`}`)
			asked := ask(c, Request{Accept: htmlPage}, sessionLine(t, c, someone(epoch-hour)))
			d := c.Decide(asked, epoch)
			value, attributes := messageCookie(t, c.Answer(asked, &d, epoch))
			messages, _ := readMessages(t, tt.secretKey, value)
			if diff := cmp.Diff(sessionOver(tt.text), messages); diff != "" || attributes != tt.attributes {
				t.Errorf("%s %s", attributes, diff)
			}
		})
	}
}
