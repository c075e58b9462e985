package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/curfew-proxy/curfew/cookie"
)

// tokenReport is what inspect says of a token. Times are Unix seconds.
type tokenReport struct {
	Cookie   string         `json:"cookie,omitempty"`
	Kind     string         `json:"kind"` // signed, sealed, touch or unknown
	Renewal  bool           `json:"renewal,omitempty"`
	Key      string         `json:"key,omitempty"`
	Verified bool           `json:"verified"`
	Failed   string         `json:"failed,omitempty"` // the step of the opening, as docs/format.md names it
	Why      string         `json:"why,omitempty"`
	Next     string         `json:"next,omitempty"`
	Size     int            `json:"size,omitempty"` // bytes of the payload
	Seen     int64          `json:"seen,omitempty"`
	Session  *sessionReport `json:"session,omitempty"`
	seen     int64          // when somebody was last active, as of all tokens
}

type sessionReport struct {
	Subject         string          `json:"subject"`
	ID              string          `json:"id"`
	LogID           string          `json:"log_id"`
	StartedAt       int64           `json:"started_at"`
	AuthenticatedAt int64           `json:"authenticated_at"`
	IssuedAt        int64           `json:"issued_at"`
	IdleAt          int64           `json:"idle_at,omitempty"` // with a config only, and ExpiresAt, too
	ExpiresAt       int64           `json:"expires_at,omitempty"`
	Idle            int64           `json:"idle"`
	Absolute        int64           `json:"absolute"`
	Remember        bool            `json:"remember"`
	Outlives        bool            `json:"outlives_browser"`
	Refused         bool            `json:"refused"`
	Revision        uint32          `json:"revision"`
	Data            json.RawMessage `json:"data"`
	Wrapped         []wrappedReport `json:"wrapped"`
}

type wrappedReport struct {
	Name          string `json:"name"`
	Path          string `json:"path"`
	Expires       int64  `json:"expires"`
	Authenticates bool   `json:"authenticates"`
	Size          int    `json:"size"` // of the value, which is not shown
}

// printable shows as an escape what could steer a terminal: nobody vouches for what is not verified.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	return b.String()
}

// fail names the step that failed and what to do next.
func (r *tokenReport) fail(o *opener, f found, c *cookie.Claims, err error) {
	for _, step := range [...]struct {
		err             error
		name, why, next string
	}{
		{cookie.ErrLength, "length", "it is too short for a token, or too long", "copy the whole value; if it is whole, something on the way cut it"},
		{cookie.ErrVersion, "version", "it does not begin as a token does (1s., 1e. or 1t.)", "give the value of one of Curfew's cookies"},
		{cookie.ErrKey, "key", "its key id is none that a key can have", "copy the whole value; if it is whole, something on the way changed it"},
		{cookie.ErrEncoding, "encoding", "it is not canonical base64url: a character is wrong, or its end is missing", "copy the whole value; if it is whole, something on the way changed it"},
		{cookie.ErrMAC, "mac", "it is cut short", "copy the whole value; if it is whole, something on the way cut it"},
		{cookie.ErrPayload, "payload", "what is inside is not a session of format 1", "copy the whole value; if it is whole, something on the way changed it"},
		{cookie.ErrTime, "time", "it was issued in the future", "compare the clocks of the machine that issued it and of this one"},
	} {
		if errors.Is(err, step.err) {
			r.Failed, r.Why, r.Next = step.name, step.why, step.next
		}
	}
	if o.config != nil {
		r.failWith(o, f, c)
	}
}

// failWith says more where the config tells more.
func (r *tokenReport) failWith(o *opener, f found, c *cookie.Claims) {
	config := o.config
	switch {
	case r.Failed == "version" && c.Purpose != 0:
		mode := map[bool]string{false: "signed", true: "sealed"}[config.Cookie.Sealed]
		r.Why = fmt.Sprintf("it is %s, and the config's cookie.mode is %s", r.Kind, mode)
		r.Next = "sessions of the other mode are over; the person logs in again"
	case r.Failed == "key" && c.KeyID != "":
		r.Why, r.Next = o.whyKey(c.KeyID)
	case r.Failed == "mac" && c.Size > 0:
		r.Why = fmt.Sprintf("it was not made with this key %s for a cookie %s and audience %q, or was changed since", c.KeyID, config.Cookie.Name, config.Audience)
		r.Next = "compare the secret, cookie.name and audience with those of the proxy that made it"
		if c.Purpose == cookie.Touch {
			r.Why += "; or it is another session's"
		}
		if f.name != "" && !o.ours(f.name) {
			r.Next = fmt.Sprintf("the cookie is named %s; give the config of its filter", r.Cookie)
		}
	case r.Failed == "payload":
		r.Next = fmt.Sprintf("its MAC is right, so another program has key %s, too: give each its own", c.KeyID)
	case r.Failed == "time":
		r.Next += fmt.Sprintf("; timeouts.clock_skew allows %s", span(config.Timeouts.Skew))
	}
}

// whyKey says why a key does not verify, and what to do.
func (o *opener) whyKey(id string) (why, next string) {
	var ids []string
	for _, k := range o.config.Keys {
		if k.ID == id {
			return fmt.Sprintf("verify_until of key %s, %s, has passed", id, at(k.VerifyUntil)), "the session is over; the person logs in again"
		}
		ids = append(ids, k.ID)
	}
	return fmt.Sprintf("key %s is not among the config's (%s)", id, strings.Join(ids, ", ")),
		"put the key back, with verify_until, if it was taken out too early; else the person logs in again"
}

// claim takes over what the token says.
func (r *tokenReport) claim(o *opener, c *cookie.Claims) {
	r.Seen = c.Seen
	if s := &c.Session; s.ID != (cookie.ID{}) || s.IssuedAt != 0 {
		r.Session = newSessionReport(s)
		if o.config != nil {
			ends := deadlines(o.config, s, s.IssuedAt)
			r.Session.IdleAt, r.Session.ExpiresAt, r.seen = ends.idle, ends.absolute, s.IssuedAt
		}
	}
}

func newSessionReport(s *cookie.Session) *sessionReport {
	r := &sessionReport{
		Subject: s.Subject, ID: base64.RawURLEncoding.EncodeToString(s.ID[:]), LogID: s.ID.Hash(),
		StartedAt: s.StartedAt, AuthenticatedAt: s.AuthenticatedAt, IssuedAt: s.IssuedAt,
		Idle: s.Idle, Absolute: s.Absolute, Remember: s.Remember, Outlives: s.OutlivesBrowser(), Refused: s.Refused, Revision: s.Revision,
		Data: json.RawMessage(s.Data), Wrapped: []wrappedReport{},
	}
	switch {
	case s.Data == "":
		r.Data = json.RawMessage("{}")
	case !json.Valid(r.Data): // a token that is not verified can have anything between its braces
		r.Data, _ = json.Marshal(s.Data)
	}
	for w, rest, ok := cookie.CutWrapped(s.Wrapped); ok; w, rest, ok = cookie.CutWrapped(rest) {
		r.Wrapped = append(r.Wrapped, wrappedReport{w.Name, w.Path, w.Expires, w.Authenticates, len(w.Value)})
	}
	return r
}

func (r *tokenReport) print(t *terminal, now int64) {
	fmt.Fprintln(t.out, t.paint(bold, r.title())+r.verdict(t))
	for _, note := range [...]string{r.Why, r.Next} {
		if note != "" {
			fmt.Fprintln(t.out, indent(wrap(note, 96), "  "))
		}
	}
	row := func(name, value string) { fmt.Fprintf(t.out, "  %-14s %s\n", name, value) }
	when := func(name string, unix int64) {
		if unix != 0 {
			row(name, at(unix)+" ("+relative(unix, now)+")")
		}
	}
	when("seen", r.Seen)
	if r.Session != nil {
		if r.Failed != "" {
			fmt.Fprintln(t.out, "  It says of itself:")
		}
		r.Session.print(row, when)
	} else if r.Kind == "sealed" && r.Size > 0 {
		row("payload", fmt.Sprintf("%d bytes, encrypted", r.Size))
	}
}

func (r *tokenReport) title() string {
	title := r.Kind
	if title != "touch" {
		title += " session"
	}
	if r.Kind == "unknown" {
		title = "not a token"
	}
	if r.Renewal {
		title += ", renewed"
	}
	if r.Key != "" {
		title += ", key " + r.Key
	}
	if r.Cookie != "" {
		title = r.Cookie + ": " + title
	}
	return title + ": "
}

func (r *tokenReport) verdict(t *terminal) string {
	switch {
	case r.Failed != "":
		return t.paint(red, "refused at the step "+r.Failed)
	case r.Verified:
		return t.paint(green, "verified")
	}
	return t.paint(yellow, "NOT VERIFIED")
}

func (s *sessionReport) print(row func(string, string), when func(string, int64)) {
	subject := "nobody"
	if s.Subject != "" {
		subject = printable(s.Subject)
	}
	row("subject", subject)
	row("data", printable(string(s.Data)))
	row("id", s.ID+", in logs "+s.LogID)
	when("started", s.StartedAt)
	when("authenticated", s.AuthenticatedAt)
	when("issued", s.IssuedAt)
	when("idle at", s.IdleAt)
	when("expires", s.ExpiresAt)
	if s.Idle != 0 {
		row("own idle", span(s.Idle))
	}
	if s.Absolute != 0 {
		row("own absolute", span(s.Absolute))
	}
	row("remember", strconv.FormatBool(s.Remember)+", the cookie "+map[bool]string{false: "ends with the browser's session", true: "outlives the browser"}[s.Outlives])
	row("revision", strconv.FormatUint(uint64(s.Revision), 10))
	if s.Refused {
		row("refused", "a later change did not fit into the cookie")
	}
	for _, w := range s.Wrapped {
		value := fmt.Sprintf("%s, path %s, value of %d bytes (not shown)", printable(w.Name), printable(w.Path), w.Size)
		if w.Authenticates {
			value += ", is a login"
		}
		row("wraps", value)
		when("  expires", w.Expires)
	}
}
