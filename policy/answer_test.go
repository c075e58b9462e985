package policy

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfew-proxy/curfew/cookie"
)

// refusals are the ways in which a request for a path can lack what the path wants.
func refusals(t *testing.T) (*Config, []refusal) {
	c := policyOf(t,
		`"rules":[{"path":"/fresh","max_auth_age":"10m"},{"path":"/admin","require":{"data.role":["admin"]}}]`,
		`"revoke":{"subjects":{"gone":"`+rfc3339(epoch)+`"}}`)
	line := func(at int64, change func(*cookie.Session)) string { return sessionLine(t, c, with(at, change)) }
	same := func(*cookie.Session) {}
	return c, []refusal{
		{"absent", "/page", "", Absent, false},
		{"leftover", "/page", touchLine(t, c, cookie.ID{1}, epoch), Absent, false},
		{"invalid", "/page", c.Cookie.Name + "=1s.a.AAAA", Invalid, true},
		{"idle_timeout", "/page", line(epoch-15*minute, same), IdleTimeout, true},
		{"absolute_timeout", "/page", line(epoch-12*hour, func(s *cookie.Session) { s.IssuedAt = epoch - 1 }), AbsoluteTimeout, true},
		{"revoked", "/page", line(epoch-1, func(s *cookie.Session) { s.Subject = "gone" }), Revoked, true},
		{"auth_too_old", "/fresh", line(epoch-10*minute, same), AuthTooOld, false},
		{"forbidden", "/admin", line(epoch-1, same), Forbidden, false},
	}
}

type refusal struct {
	name, path, cookies string
	reason              Reason
	drop                bool
}

const ownPage = "https://" + site + "/from?x=1"

var askers = []struct {
	name   string
	asker  Asker
	r      Request
	status uint32
	next   string
}{
	{"page get", Page, Request{FetchMode: "navigate", FetchDest: "document"}, 302, ""},
	{"page get by accept", Page, Request{Accept: htmlPage}, 302, ""},
	{"page head", Page, Request{Method: "HEAD", Accept: htmlPage}, 302, ""},
	{"iframe", Page, Request{FetchMode: "navigate", FetchDest: "iframe"}, 302, ""},
	{"page post", Page, Request{Method: "POST", FetchMode: "navigate", Referer: ownPage}, 303, "/from%3Fx%3D1"},
	{"page post, no referer", Page, Request{Method: "POST", FetchMode: "navigate"}, 303, "/"},
	{"page put", Page, Request{Method: "PUT", Accept: htmlPage, Referer: "https://evil.example/from"}, 303, "/"},
	{"fetch", API, Request{FetchMode: "cors", FetchDest: "empty", Accept: "*/*", Referer: ownPage}, 401, "/from%3Fx%3D1"},
	{"fetch that asks for html", API, Request{FetchMode: "cors", FetchDest: "empty", Accept: htmlPage}, 401, "/"},
	{"api", API, Request{Accept: "application/json"}, 401, "/"},
	{"grpc-web", API, Request{Method: "POST", ContentType: "application/grpc-web+proto"}, 401, "/"},
	{"websocket", WebSocket, Request{Upgrade: "WebSocket", FetchMode: "websocket"}, 401, ""},
	{"event source", EventSource, Request{Accept: "text/event-stream", FetchMode: "cors"}, 204, ""},
	{"grpc", GRPC, Request{Method: "POST", ContentType: "application/grpc"}, 401, ""},
	{"grpc proto", GRPC, Request{Method: "POST", ContentType: "application/grpc+proto"}, 401, ""},
	{"image", Subresource, Request{FetchMode: "no-cors", FetchDest: "image"}, 401, ""},
	{"script", Subresource, Request{FetchMode: "cors", FetchDest: "script", Accept: htmlPage}, 401, ""},
	{"prefetch", Prefetch, Request{SecPurpose: "prefetch", FetchMode: "navigate"}, 401, ""},
	{"prerender", Prefetch, Request{SecPurpose: "prefetch;prerender", Accept: htmlPage}, 401, ""},
}

// expected is what an asker gets who lacks what s.path wants. next "" is the path itself.
func expected(asker Asker, status uint32, next string, s refusal) Answer {
	if next == "" {
		next = s.path
	}
	url := "/login?next=" + next + "&reason=" + s.reason.String()
	want := Answer{Status: status, GRPC: noGRPC}
	want.add("cache-control", "no-store")
	want.add("vary", "Cookie")
	switch {
	case s.reason == Forbidden:
		want.Status = 403
		want.add("content-type", "application/problem+json")
		want.Body = []byte(`{"title":"Forbidden","status":403,"reason":"forbidden"}`)
	case asker == Page:
		want.add("location", url)
	case asker == GRPC:
		want.GRPC, want.Body = 16, []byte(s.reason.String())
	case asker == API:
		want.add("www-authenticate", "Cookie")
		want.add("content-type", "application/problem+json")
		want.Body = []byte(`{"title":"Unauthorized","status":401,"reason":"` + s.reason.String() + `","login":"` + url + `"}`)
	case asker != EventSource:
		want.add("www-authenticate", "Cookie")
	}
	if s.drop && asker != Prefetch {
		want.add("set-cookie", "__Host-session-seen=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; Secure; SameSite=Lax")
		want.add("set-cookie", "__Host-session=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; Secure; SameSite=Lax")
	}
	return want
}

func TestAnswerTable(t *testing.T) {
	c, states := refusals(t)
	for _, a := range askers {
		for _, s := range states {
			t.Run(a.name+"/"+s.name, func(t *testing.T) {
				r := a.r
				r.Path = s.path
				asked := ask(c, r, s.cookies)
				d := c.Decide(asked, epoch)
				if d.Reason != s.reason || d.Drop != s.drop || d.Live || d.Verdict == Pass {
					t.Fatalf("decided %+v, want %v, drop %v", d, s.reason, s.drop)
				}
				if diff := cmp.Diff(expected(a.asker, a.status, a.next, s), c.Answer(asked, &d, epoch)); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

func TestProblemIsJSON(t *testing.T) {
	c := policyOf(t, `"login":{"url":"/a\"b?c=d"}`)
	asked := ask(c, Request{})
	d := c.Decide(asked, epoch)
	var body struct{ Login string }
	if err := json.Unmarshal(c.Answer(asked, &d, epoch).Body, &body); err != nil || body.Login != `/a"b?c=d&next=/&reason=absent` {
		t.Errorf("%v: %s", err, body.Login)
	}
}

func TestDeletionsRepeatAttributes(t *testing.T) {
	c := policyOf(t, `"cookie":{"name":"__Secure-s","path":"/","domain":"shop.example","same_site":"None","partitioned":true}`)
	want := []string{
		"__Secure-s-seen=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; Domain=shop.example; HttpOnly; Secure; SameSite=None; Partitioned",
		"__Secure-s=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; Domain=shop.example; HttpOnly; Secure; SameSite=None; Partitioned",
	}
	if diff := cmp.Diff(want, c.Deletions(false)); diff != "" {
		t.Error(diff)
	}
}

func TestAnswerOthers(t *testing.T) {
	c := policyOf(t)
	plain := ask(c, Request{})
	unreadable := c.Answer(plain, &Decision{Reason: Unreadable, Verdict: Refuse}, epoch)
	for _, tt := range []struct {
		name   string
		got    Answer
		status uint32
		body   string
	}{
		{"unreadable", unreadable, 431, `{"title":"Request Header Fields Too Large","status":431,"reason":"unreadable"}`},
		{"bad gateway", BadGateway(), 502, `{"title":"Bad Gateway","status":502,"reason":"bad_command"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.got.Status != tt.status || string(tt.got.Body) != tt.body || tt.got.GRPC != noGRPC || len(setCookies(tt.got.Headers)) != 0 {
				t.Errorf("got %+v with body %s", tt.got, tt.got.Body)
			}
			if tt.got.Headers[0] != [2]string{"cache-control", "no-store"} {
				t.Errorf("a cache may keep it: %v", tt.got.Headers)
			}
		})
	}
}

func TestAnswerLogout(t *testing.T) {
	c := policyOf(t, `"logout":{"methods":["POST","GET"],"redirect":"/bye"}`)
	alive := sessionLine(t, c, someone(epoch))
	for _, tt := range []struct {
		name    string
		r       Request
		cookies string
		reason  Reason
		found   bool
		status  uint32
		deleted int
	}{
		{"post", Request{Method: "POST"}, alive, LoggedOut, true, 303, 2},
		{"get", Request{FetchSite: "same-origin"}, alive, LoggedOut, true, 303, 2},
		{"typed in", Request{FetchSite: "none"}, alive, LoggedOut, true, 303, 2},
		{"nobody", Request{Method: "POST"}, "", LoggedOut, false, 303, 2},
		{"dead session", Request{Method: "POST"}, sessionLine(t, c, someone(epoch-hour)), LoggedOut, true, 303, 2},
		{"method", Request{Method: "PUT"}, alive, LogoutRefused, false, 405, 0},
		{"RP-133 cross-site get", Request{FetchSite: "cross-site"}, alive, LogoutRefused, false, 403, 0},
		{"RP-133 same-site get", Request{FetchSite: "same-site"}, alive, LogoutRefused, false, 403, 0},
		{"RP-133 other origin", Request{Method: "POST", Origin: "https://evil.example"}, alive, LogoutRefused, false, 403, 0},
		{"RP-133 null origin", Request{Method: "POST", Origin: "null"}, alive, LogoutRefused, false, 403, 0},
		// A browser that loads ahead has not been asked to log anybody out.
		{"prefetch", Request{SecPurpose: "prefetch", FetchSite: "same-origin"}, alive, LogoutRefused, false, 403, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := tt.r
			r.Path = "/logout?x=1"
			asked := ask(c, r, tt.cookies)
			d := c.Decide(asked, epoch)
			a := c.Answer(asked, &d, epoch)
			if d.Reason != tt.reason || d.Found != tt.found || d.Live || a.Status != tt.status || len(setCookies(a.Headers)) != tt.deleted {
				t.Errorf("decided %v found %v live %v, answered %+v", d.Reason, d.Found, d.Live, a)
			}
			if want := [2]string{"allow", "POST, GET"}; tt.status == 405 && a.Headers[2] != want {
				t.Errorf("got %v, want %v", a.Headers[2], want)
			}
			if want := [2]string{"location", "/bye"}; tt.status == 303 && a.Headers[2] != want {
				t.Errorf("got %v, want %v", a.Headers[2], want)
			}
		})
	}
}
