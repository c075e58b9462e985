package policy

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/curfew-proxy/curfew/cookie"
)

// tell sends a request through the proxy, whose response comes later, and returns which headers that gets.
func (b *browser) tell(c *Config, r Request, response Response, asked, answered int64) (headers [][2]string) {
	b.t.Helper()
	request := ask(c, r, b.line())
	d := c.Decide(request, asked)
	if d.Verdict != Pass {
		b.t.Fatalf("%s does not reach the app: %v", request.Path, d.Reason)
	}
	o := keep(c, request, &d, asked)
	reply := c.Respond(&o, &response, answered, b.random)
	b.take(reply.Cookies)
	told := c.Tell(&o, &response, &reply, answered, func(name, value string) { headers = append(headers, [2]string{name, value}) })
	if told != (len(headers) > 0) {
		b.t.Errorf("told %v with %d headers", told, len(headers))
	}
	if told && !c.Told(&o) {
		b.t.Error("the filter would not have asked")
	}
	return headers
}

// alive is a browser whose person logged in so long ago and was active then, too.
func alive(t testing.TB, c *Config, age int64) *browser {
	t.Helper()
	b := newBrowser(t)
	b.values[c.Cookie.Name] = mint(t, c, someone(epoch-age))
	return b
}

const tells = `"browser":{"refresh":true,"headers":true}`

var document = Request{FetchMode: "navigate", FetchDest: "document", Accept: htmlPage, FetchSite: "same-origin"}

// inSeconds are the headers of a page at /page.
func inSeconds(idle, absolute int64, page string) (headers [][2]string) {
	headers = [][2]string{{"session-idle-in", strconv.FormatInt(idle, 10)}, {"session-expires-in", strconv.FormatInt(absolute, 10)}}
	if page != "" {
		headers = append(headers, [2]string{"refresh", strconv.FormatInt(min(idle, absolute), 10) + "; url=/.session/end?" + page})
	}
	return headers
}

// Nothing is told unless the config wants it, and of that only what it wants.
func TestTellByConfig(t *testing.T) {
	all := inSeconds(15*minute, 12*hour-minute, "/page")
	for fields, want := range map[string][][2]string{
		noFields:                               nil,
		`"browser":{"refresh":true}`:           all[2:],
		`"browser":{"headers":true}`:           all[:2],
		tells:                                  all,
		tells + `,"report_only":true`:          nil,
		`"browser":{"subject":true}`:           nil,
		`"browser":{"path":"/a/","warn":"2m"}`: nil,
	} {
		c := policyOf(t, fields)
		if diff := cmp.Diff(want, alive(t, c, minute).tell(c, document, app(""), epoch, epoch)); diff != "" {
			t.Errorf("%s: %s", fields, diff)
		}
	}
}

// Seconds go to whatever asks with a live session; a Refresh only where a person sees a page.
func TestTellByAsker(t *testing.T) {
	c := policyOf(t, tells)
	page := map[string]bool{"page get": true, "page get by accept": true}
	for _, tt := range askers {
		to := ""
		if page[tt.name] {
			to = "/page"
		}
		idle := 15 * minute
		if tt.asker == Prefetch {
			idle = 14 * minute
		}
		if diff := cmp.Diff(inSeconds(idle, 12*hour-minute, to), alive(t, c, minute).tell(c, tt.r, app(""), epoch, epoch)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
	for name, r := range map[string]Request{
		"frame":            {FetchMode: "navigate", FetchDest: "frame"},
		"object":           {FetchMode: "navigate", FetchDest: "object", Accept: htmlPage},
		"embed":            {FetchMode: "navigate", FetchDest: "embed"},
		"fenced frame":     {FetchMode: "navigate", FetchDest: "fencedframe"},
		"cors for html":    {FetchMode: "cors", FetchDest: "empty", Accept: htmlPage},
		"post of a form":   {Method: "POST", FetchMode: "navigate", FetchDest: "document"},
		"in capitals":      {Method: "get", FetchMode: "navigate", FetchDest: "document"},
		"another upgrade":  {Upgrade: "websocket", FetchMode: "navigate", FetchDest: "document"},
		"an event stream":  {Accept: "text/event-stream", FetchMode: "navigate", FetchDest: "document"},
		"a prefetched one": {FetchMode: "navigate", FetchDest: "document", SecPurpose: "prefetch"},
	} {
		for _, h := range alive(t, c, minute).tell(c, r, app(""), epoch, epoch) {
			if h[0] == "refresh" {
				t.Errorf("%s: %s", name, h)
			}
		}
	}
}

// Who has no live session is told nothing; nobody's has seconds, and no page to go to.
func TestTellByState(t *testing.T) {
	c := policyOf(t, tells, `"anonymous":true,"rules":[{"path_prefix":"/maybe/short","session":"optional","idle":"3m"},{"path_prefix":"/off","session":"off"},{"path_prefix":"/","session":"optional"}]`, revokesGone())
	for _, s := range states(t, c) {
		for _, path := range []string{"/page", "/login", "/maybe/short", "/off"} {
			b := newBrowser(t)
			for _, line := range s.lines {
				name, value, _ := strings.Cut(line, "=")
				b.values[name] = value
			}
			if s.name == "two sessions" {
				continue // a browser of this test holds one of a name
			}
			r := document
			r.Path = path
			var want [][2]string
			if lives := path == "/page" || path == "/login"; lives && (s.state == OK || s.state == Anonymous) {
				want = inSeconds(15*minute, 12*hour-5*minute, "/page")
				if path == "/login" { // no activity
					want = inSeconds(10*minute, 12*hour-5*minute, "/")
				}
				if path == "/login" || s.state == Anonymous {
					want = want[:2]
				}
			}
			if diff := cmp.Diff(want, b.tell(c, r, app(""), epoch, epoch)); diff != "" {
				t.Errorf("%s, %s: %s", s.name, path, diff)
			}
		}
	}
}

// What a cache may keep says nothing of one person's session. Neither does what ended it.
func TestTellNot(t *testing.T) {
	c := policyOf(t, tells)
	for name, tt := range map[string]struct {
		response Response
		want     [][2]string
	}{
		"no store":             {Response{CacheControl: "no-store"}, inSeconds(900, 43140, "/page")},
		"no cache":             {Response{CacheControl: "no-cache, max-age=60"}, inSeconds(900, 43140, "/page")},
		"private":              {Response{CacheControl: "private"}, inSeconds(900, 43140, "/page")},
		"of no age":            {Response{CacheControl: "max-age=0"}, inSeconds(900, 43140, "/page")},
		"not modified":         {Response{Status: 304}, inSeconds(900, 43140, "/page")},
		"error":                {Response{Status: 500}, inSeconds(900, 43140, "/page")},
		"the app's own":        {Response{Refreshes: true}, inSeconds(900, 43140, "")},
		"cacheable":            {Response{CacheControl: "max-age=60"}, nil},
		"cacheable by browser": {Response{CacheControl: "private, max-age=60"}, nil},
		"public":               {Response{CacheControl: "public"}, nil},
		"immutable":            {Response{CacheControl: "immutable"}, nil},
		"expires":              {Response{Expires: "Fri, 01 Jan 2100 00:00:00 GMT"}, nil},
		"for a CDN":            {Response{Targeted: true, CacheControl: "no-store"}, nil},
		"ended":                {Response{Commands: []string{`{"end":true}`}}, nil},
	} {
		if tt.response.Status == 0 {
			tt.response.Status = 200
		}
		if diff := cmp.Diff(tt.want, alive(t, c, minute).tell(c, document, tt.response, epoch, epoch)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	b, login := alive(t, c, minute), document
	login.Method, login.Path = "POST", "/login"
	if got := b.tell(c, login, Response{Status: 200, Commands: []string{`{"start":{"subject":"v"}}`}}, epoch, epoch); got != nil {
		t.Errorf("of a session that a login replaced: %v", got)
	}
}

// A page goes to end with its own path where that is plain, and is told of its own rule's ends.
func TestTellByPage(t *testing.T) {
	c := policyOf(t, tells, pageRules)
	b := alive(t, c, 4*minute)
	for path, want := range map[string][][2]string{
		"/page":              inSeconds(900, 12*hour-240, "/page"),
		"/page?x=1&y=%0d%0a": inSeconds(900, 12*hour-240, "/page?x=1&y=%0d%0a"),
		"/short/x":           inSeconds(300, 12*hour-240, "/short/x"),
		"/brief":             inSeconds(900, 30*minute-240, "/brief"),
		"/poll":              inSeconds(660, 12*hour-240, "/poll"),
		// Another page's rule may be another.
		"/page?x=<":                          inSeconds(900, 12*hour-240, "")[:2],
		"/page?" + strings.Repeat("x", 2048): inSeconds(900, 12*hour-240, "")[:2],
		"/begin":                             inSeconds(900, 12*hour-240, "/begin"),
	} {
		r := document
		r.Path = path
		fresh := newBrowser(t)
		for name, value := range b.values {
			fresh.values[name] = value
		}
		if diff := cmp.Diff(want, fresh.tell(c, r, app(""), epoch, epoch)); diff != "" {
			t.Errorf("%.40s: %s", path, diff)
		}
	}
}

// TestToldIsTrue holds the seconds against the cookies that the response leaves: until then they are good
// for this page, and from then on they are not.
func TestToldIsTrue(t *testing.T) {
	const fields = tells + `,"remember":{"idle":"1h","absolute":"24h"},"rules":[{"path":"/short","idle":"5m"},{"path":"/brief","absolute":"30m"},{"path":"/poll","activity":"passive"}]`
	for _, command := range []string{"", `{"set":{"a":1}}`, `{"expire_in":"300s"}`, `{"expire_in":"40m"}`, `{"expire_in":null}`, `{"remember":true}`,
		`{"rotate":true}`, `{"rotate":true,"expire_in":"200s"}`, `{"set":{"a":1},"remember":true,"rotate":true}`} {
		for _, path := range []string{"/page", "/short", "/brief", "/poll"} {
			for _, age := range []int64{0, minute, 2*minute + 1, 11 * minute, 100 * minute} {
				for _, took := range []int64{0, 1, 59, minute, 2*minute + 30} {
					t.Run(fmt.Sprintf("%s %s, %d old, took %d", command, path, age, took), func(t *testing.T) {
						toldIsTrue(t, fields, command, path, age, took)
					})
				}
			}
		}
	}
}

func toldIsTrue(t *testing.T, fields, command, path string, age, took int64) {
	c := policyOf(t, fields)
	b := alive(t, c, age)
	asked := epoch + 31 // in the middle of a slot
	answered := asked + took
	if s := someone(0); age > 14*minute {
		b.values[c.Cookie.Name+cookie.TouchSuffix] = mintTouch(t, c, s.ID, epoch-2*minute)
	}
	r := document
	r.Path = path
	if d := c.Decide(ask(c, r, b.line()), asked); d.Verdict != Pass {
		return // over on this page
	}
	headers := b.tell(c, r, app(command), asked, answered)
	if len(headers) != 3 {
		t.Fatalf("%v", headers)
	}
	idle, _ := strconv.ParseInt(headers[0][1], 10, 64)
	absolute, _ := strconv.ParseInt(headers[1][1], 10, 64)
	end := answered + min(idle, absolute)
	if headers[2][1] != fmt.Sprintf("%d; url=/.session/end?%s", min(idle, absolute), path) {
		t.Errorf("%v", headers)
	}
	r.Activity = "passive"
	if got := c.Decide(ask(c, r, b.line()), end-1).Reason; got != OK && end > answered {
		t.Errorf("a second before the end that was told: %v", got)
	}
	if got := c.Decide(ask(c, r, b.line()), end).Reason; got != IdleTimeout && got != AbsoluteTimeout {
		t.Errorf("at the end that was told: %v", got)
	}
}

// A response that comes after its session's end sends its page on at once, and never says less than nothing.
func TestTellTooLate(t *testing.T) {
	c := policyOf(t, tells)
	if diff := cmp.Diff(inSeconds(0, 11*hour-minute, "/page"), alive(t, c, minute).tell(c, document, app(""), epoch, epoch+hour)); diff != "" {
		t.Error(diff)
	}
}
