package policy

import (
	"strings"

	"github.com/curfew-proxy/curfew/cookie"
)

// Request is what the filter read of one request. Header values are as they came; a header that
// was not sent is "".
type Request struct {
	Method, Scheme, Authority string
	Path                      string // with its query

	Accept, ContentType, Upgrade, Referer, Origin string
	RequestMethod                                 string // Access-Control-Request-Method
	FetchDest, FetchMode, FetchSite               string // Fetch Metadata Request Headers
	SecPurpose, Purpose                           string
	IfNoneMatch                                   string
	Activity                                      string // x-session-activity

	Jar   *cookie.Jar
	Heard *Heard // nil: of nothing
}

// Take notes a header of the request, and reports whether it must not reach the app: it is one that only
// Curfew sets, or sends.
func (c *Config) Take(r *Request, name, value string) (ours bool) {
	if name == "cookie" {
		r.Jar.Add(value)
		return false
	}
	if field := r.field(name); field != nil {
		*field = value
		return false
	}
	if name == ActivityHeader {
		r.Activity = value
	}
	return c.Ours(name)
}

// field is where a header's value goes, by length first, for most headers are none of these.
func (r *Request) field(name string) *string {
	switch len(name) {
	case 5:
		if name == ":path" {
			return &r.Path
		}
	case 6:
		switch name {
		case "accept":
			return &r.Accept
		case "origin":
			return &r.Origin
		}
	case 7:
		switch name {
		case ":method":
			return &r.Method
		case ":scheme":
			return &r.Scheme
		case "referer":
			return &r.Referer
		case "upgrade":
			return &r.Upgrade
		case "purpose":
			return &r.Purpose
		}
	case 10:
		if name == ":authority" {
			return &r.Authority
		}
	case 11:
		if name == "sec-purpose" {
			return &r.SecPurpose
		}
	case 12:
		if name == "content-type" {
			return &r.ContentType
		}
	case 13:
		if name == "if-none-match" {
			return &r.IfNoneMatch
		}
	case 14:
		switch name {
		case "sec-fetch-dest":
			return &r.FetchDest
		case "sec-fetch-mode":
			return &r.FetchMode
		case "sec-fetch-site":
			return &r.FetchSite
		}
	case 29:
		if name == "access-control-request-method" {
			return &r.RequestMethod
		}
	}
	return nil
}

// Asker is what kind of client sent a request; it decides the form of a refusal.
type Asker uint8

// The kinds, in the order in which they are looked for.
const (
	GRPC Asker = iota
	WebSocket
	Prefetch
	EventSource
	Page
	Subresource
	API
)

// asker tells who asks. Fetch metadata, which a script cannot forge, goes before Accept, which it
// can choose.
func (r *Request) asker() Asker {
	switch {
	case hasToken(r.ContentType, "application/grpc") || strings.HasPrefix(r.ContentType, "application/grpc+"):
		return GRPC
	case cookie.EqualFold(r.Upgrade, "websocket"):
		return WebSocket
	case r.prefetch():
		return Prefetch
	case hasToken(r.Accept, "text/event-stream"):
		return EventSource
	case r.FetchMode == "navigate":
		return Page
	case subresource(r.FetchDest):
		return Subresource
	case r.FetchMode == "" && strings.Contains(r.Accept, "text/html"):
		return Page
	}
	return API
}

// loadsDocument reports whether a person gets a page to see, in a window of its own.
func (r *Request) loadsDocument() bool {
	return r.Method == "GET" && r.asker() == Page && (r.FetchDest == "" || r.FetchDest == "document")
}

// hasToken reports whether header is exactly the media type, or that with parameters or more types.
func hasToken(header, mediaType string) bool {
	rest, ok := strings.CutPrefix(header, mediaType)
	return ok && (rest == "" || rest[0] == ';' || rest[0] == ',' || rest[0] == ' ')
}

// prefetch reports whether the browser loads ahead of any wish of the person. Purpose is its older
// spelling.
func (r *Request) prefetch() bool {
	return strings.Contains(r.SecPurpose, "prefetch") || r.Purpose == "prefetch"
}

func subresource(dest string) bool {
	switch dest {
	case "image", "script", "style", "font", "audio", "video", "track", "manifest", "worker",
		"sharedworker", "serviceworker", "audioworklet", "paintworklet", "embed", "object", "xslt", "json":
		return true
	}
	return false
}

// preflight reports whether this is a CORS-preflight request (Fetch, section 3.3.2), as a browser makes
// it: without credentials, and to no other protocol.
func (r *Request) preflight() bool {
	return r.Method == "OPTIONS" && r.Origin != "" && validToken(r.RequestMethod) && r.Upgrade == "" && len(r.Jar.Lines) == 0
}

// passive reports whether the client says that no person is behind this request.
func (r *Request) passive() bool { return r.Activity == "passive" || r.prefetch() }

// crossSite reports whether another site made the browser send this. Sec-Fetch-Site decides where
// it is sent, Origin where it is not; without either it is no browser that an attacker could steer.
func (r *Request) crossSite() bool {
	switch r.FetchSite {
	case "same-origin", "none":
		return false
	case "":
		return r.Origin != "" && !cookie.EqualFold(originHost(r.Origin), r.Authority)
	}
	return true
}

// originHost returns host and port of an origin or a URL, or "" where there is none.
func originHost(url string) string {
	_, rest, ok := strings.Cut(url, "://")
	if !ok {
		return ""
	}
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	return rest
}
