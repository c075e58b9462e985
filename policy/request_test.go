package policy

import "testing"

func TestAsker(t *testing.T) {
	for _, tt := range []struct {
		name string
		r    Request
		want Asker
	}{
		{"grpc", Request{ContentType: "application/grpc"}, GRPC},
		{"grpc with parameters", Request{ContentType: "application/grpc; x=y"}, GRPC},
		{"grpc with a codec", Request{ContentType: "application/grpc+json"}, GRPC},
		{"grpc-web", Request{ContentType: "application/grpc-web"}, API},
		{"grpc websocket", Request{ContentType: "application/grpc", Upgrade: "websocket"}, GRPC},
		{"websocket", Request{Upgrade: "websocket"}, WebSocket},
		{"websocket in other case", Request{Upgrade: "WebSocket"}, WebSocket},
		{"another upgrade", Request{Upgrade: "h2c"}, API},
		{"prefetch of a page", Request{SecPurpose: "prefetch", FetchMode: "navigate"}, Prefetch},
		{"prerender of a page", Request{SecPurpose: "prefetch;prerender", Accept: htmlPage}, Prefetch},
		{"older prefetch", Request{Purpose: "prefetch", Accept: htmlPage}, Prefetch},
		{"event source", Request{Accept: "text/event-stream"}, EventSource},
		{"event source and more", Request{Accept: "text/event-stream, */*"}, EventSource},
		{"no event source", Request{Accept: "text/event-streams"}, API},
		{"navigation", Request{FetchMode: "navigate"}, Page},
		{"navigation of an object", Request{FetchMode: "navigate", FetchDest: "object"}, Page},
		{"page by accept", Request{Accept: "application/xhtml+xml,text/html"}, Page},
		{"fetch cannot pose as a page", Request{FetchMode: "cors", Accept: htmlPage}, API},
		{"image", Request{FetchDest: "image"}, Subresource},
		{"worker", Request{FetchDest: "serviceworker", FetchMode: "same-origin"}, Subresource},
		{"fetch", Request{FetchDest: "empty", FetchMode: "cors"}, API},
		{"report", Request{FetchDest: "report"}, API},
		{"curl", Request{Accept: "*/*"}, API},
		{"nothing", Request{}, API},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.r.asker(); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestPreflight(t *testing.T) {
	full := Request{Method: "OPTIONS", Origin: "https://a.example", RequestMethod: "PUT"}
	without := func(change func(*Request)) Request { r := full; change(&r); return r }
	passed := outcome{Preflight, Pass, false, false}
	for _, tt := range []struct {
		name   string
		config string
		r      Request
		want   outcome
	}{
		{"PR-314 preflight", "true", full, passed},
		{"to the logout path", "true", without(func(r *Request) { r.Path = "/logout" }), passed},
		{"bypass off", "false", full, noneHas},
		{"without origin", "true", without(func(r *Request) { r.Origin = "" }), noneHas},
		{"without method asked for", "true", without(func(r *Request) { r.RequestMethod = "" }), noneHas},
		{"another method", "true", without(func(r *Request) { r.Method = "GET" }), noneHas},
		{"method in other case", "true", without(func(r *Request) { r.Method = "options" }), noneHas},
		{"unsafe path", "true", without(func(r *Request) { r.Path = "/a/..;/b" }), noneHas},
		{"PM-294 OPTIONS *", "true", without(func(r *Request) { r.Path = "*" }), noneHas},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := policyOf(t, `"bypass_cors_preflight":`+tt.config)
			if got := outcomeOf(c.Decide(ask(c, tt.r), epoch)); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
	// A browser's preflight has no cookies and asks for no upgrade; what has is a request like others.
	c := policyOf(t)
	if d := c.Decide(ask(c, full, "theme=dark"), epoch); d.Reason != Absent || d.Verdict != Login {
		t.Errorf("preflight with cookies: %+v", d)
	}
	upgrade := without(func(r *Request) { r.Upgrade = "websocket" })
	if d := c.Decide(ask(c, upgrade), epoch); d.Reason != Absent || d.Verdict != Login {
		t.Errorf("preflight that upgrades: %+v", d)
	}
}

func TestCrossSite(t *testing.T) {
	for _, tt := range []struct {
		name, fetchSite, origin string
		want                    bool
	}{
		{"same origin", "same-origin", "https://" + site, false},
		{"typed in", "none", "", false},
		{"same site", "same-site", "", true},
		{"cross site", "cross-site", "", true},
		{"cross site beats origin", "cross-site", "https://" + site, true},
		{"unknown word", "elsewhere", "", true},
		{"no browser", "", "", false},
		{"own origin", "", "https://" + site, false},
		{"own origin in other case", "", "https://SHOP.example", false},
		{"another origin", "", "https://evil.example", true},
		{"own origin, another port", "", "https://" + site + ":8443", true},
		{"null", "", "null", true},
		{"no scheme", "", site, true},
		{"longer", "", "https://" + site + ".evil", true},
		{"userinfo", "", "https://" + site + "@evil", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := Request{Authority: site, FetchSite: tt.fetchSite, Origin: tt.origin}
			if got := r.crossSite(); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestPassive(t *testing.T) {
	for _, tt := range []struct {
		name string
		r    Request
		want bool
	}{
		{"no word", Request{}, false},
		{"passive", Request{Activity: "passive"}, true},
		{"active", Request{Activity: "active"}, false},
		{"prefetch", Request{SecPurpose: "prefetch"}, true},
		{"older prefetch", Request{Purpose: "prefetch"}, true},
		{"another purpose", Request{Purpose: "preview"}, false},
	} {
		if got := tt.r.passive(); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
}
