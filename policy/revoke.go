package policy

import (
	"encoding/base64"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/curfew-proxy/curfew/cookie"
)

// Revocations say which sessions are over before any timeout. A time that is still to come revokes
// nothing yet, or no login would last until then.
//
// They are sorted lists and no maps: a large map of TinyGo's has much in it that looks like a pointer, so
// that the lists of days would be kept.
type Revocations struct {
	Before   int64            // those that started before; Unix seconds
	Subjects []RevokedSubject // by subject: its own that started before
	Sessions []cookie.ID      // these
}

// RevokedSubject is somebody whose sessions from before a time (Unix seconds) are over.
type RevokedSubject struct {
	Subject string
	Before  int64
}

// Revoke is the config's `revoke`.
type Revoke struct {
	Revocations
	Feed Feed
}

// Feed is the config's `revoke.feed`: where an app says which sessions are over.
type Feed struct {
	Cluster, Path, Authority string
	Token                    string // sent as a bearer token (RFC 6750); "" for none
	Interval                 int64  // between two questions, in seconds
	Deny                     bool   // once what was heard is older than StaleAfter, in seconds, nobody has a session
	StaleAfter               int64
}

// Heard is what a proxy has heard by now of sessions that are over, beside its config.
type Heard struct {
	Feed   *Revocations   // the last good answer of revoke.feed; nil: none yet
	FeedAt int64          // as of when that is, Unix seconds; 0: none yet
	Ended  *EndedSessions // nil: none
}

// EndedSessions are those that somebody ended here, and until when they could live on (Unix seconds).
type EndedSessions struct{ sorted []endedSession }

type endedSession struct {
	id    cookie.ID
	until int64
}

// Has reports whether a session is among them.
func (e *EndedSessions) Has(id cookie.ID) bool {
	_, found := e.find(id)
	return found
}

// Add takes one in.
func (e *EndedSessions) Add(id cookie.ID, until int64) {
	if at, found := e.find(id); !found {
		e.sorted = slices.Insert(e.sorted, at, endedSession{id, until})
	}
}

// Delete forgets one.
func (e *EndedSessions) Delete(id cookie.ID) {
	if at, found := e.find(id); found {
		e.sorted = slices.Delete(e.sorted, at, at+1)
	}
}

func (e *EndedSessions) find(id cookie.ID) (at int, found bool) {
	return slices.BinarySearchFunc(e.sorted, id, func(s endedSession, id cookie.ID) int { return compareIDs(s.id, id) })
}

func compareIDs(a, b cookie.ID) int {
	for i := range a {
		if a[i] != b[i] {
			return int(a[i]) - int(b[i])
		}
	}
	return 0
}

func compareSubjects(a, b RevokedSubject) int { return strings.Compare(a.Subject, b.Subject) }

// For the older sort, of which the module has one for both. (The one of package slices is there once for each type.)
type (
	byID      []cookie.ID
	bySubject []RevokedSubject
)

func (l byID) Len() int           { return len(l) }
func (l byID) Less(i, j int) bool { return compareIDs(l[i], l[j]) < 0 }
func (l byID) Swap(i, j int)      { l[i], l[j] = l[j], l[i] }

func (l bySubject) Len() int           { return len(l) }
func (l bySubject) Less(i, j int) bool { return l[i].Subject < l[j].Subject }
func (l bySubject) Swap(i, j int)      { l[i], l[j] = l[j], l[i] }

// at is when the first of the times comes, or came, that ends the session, in Unix seconds; 0: none.
func (v *Revocations) at(s *cookie.Session) int64 {
	at := int64(0)
	if s.StartedAt < v.Before {
		at = v.Before
	}
	if i, ok := slices.BinarySearchFunc(v.Subjects, RevokedSubject{Subject: s.Subject}, compareSubjects); ok && s.StartedAt < v.Subjects[i].Before {
		at = shorter(at, v.Subjects[i].Before)
	}
	if _, ok := slices.BinarySearchFunc(v.Sessions, s.ID, compareIDs); ok {
		at = 1 // long ago
	}
	return at
}

// revokedAt is when a session ends by the config or by what was heard; 0: never.
func (c *Config) revokedAt(h *Heard, s *cookie.Session) int64 {
	at := c.Revoke.at(s)
	if h != nil && h.Feed != nil {
		at = shorter(at, h.Feed.at(s))
	}
	return at
}

// stale reports whether too much could have been said since the feed was heard.
func (c *Config) stale(h *Heard, now int64) bool {
	return c.Revoke.Feed.Deny && (h == nil || now-h.FeedAt >= c.Revoke.Feed.StaleAfter)
}

// ended reports whether somebody ended the session here. Its cookie is a copy, or came late.
func (h *Heard) ended(id cookie.ID, now int64) bool {
	if h == nil || h.Ended == nil {
		return false
	}
	at, found := h.Ended.find(id)
	return found && h.Ended.sorted[at].until > now
}

// MaxFeed bounds an answer of revoke.feed in bytes, MaxRevocations the entries in it.
const (
	MaxFeed        = 1 << 20
	MaxRevocations = 10_000
)

// ParseRevocations reads an answer of revoke.feed; the result keeps nothing of the text. It is as strict as a config's
// parser, for what it does not understand could be meant to end a session. The error names one of the answer's
// own fields, or "answer", and repeats nothing else of it.
func ParseRevocations(text string) (*Revocations, *ConfigError) {
	p := &parser{}
	if len(text) > MaxFeed || !shallow(text) || !gjson.Valid(text) || !utf8.ValidString(text) {
		p.fail("answer", "", "must be a JSON object of at most 1 MiB")
	}
	var r *Revocations
	if p.err == nil {
		r = p.revocations(gjson.Parse(text))
	}
	if p.err != nil {
		field := p.err.Field
		if end := strings.IndexAny(field, ".["); end >= 0 {
			field = field[:end]
		}
		if !contains([]string{"before", "subjects", "sessions"}, field) {
			field = "answer"
		}
		return nil, &ConfigError{Field: field, Rule: p.err.Rule}
	}
	return r, nil
}

func (p *parser) revocations(v gjson.Result) *Revocations {
	o := p.object("", v, "before", "subjects", "sessions")
	r := &Revocations{Before: o.time("before"), Subjects: o.subjects(), Sessions: o.sessions()}
	o.bounded("sessions", len(r.Subjects)+len(r.Sessions)-1)
	return r
}

// bounded refuses one entry more than there may be.
func (o *object) bounded(name string, n int) {
	if n >= MaxRevocations {
		o.p.fail(o.at(name), "", "more than 10,000 entries; leave out those older than any session lives, or set before")
	}
}

// subjects reads times by subject. It needs no map of all its fields, for there may be many, and no name of
// one that is well.
func (o *object) subjects() (out []RevokedSubject) {
	v := o.fields["subjects"]
	if v.Exists() && !v.IsObject() {
		o.fail("subjects", "must be a JSON object")
	}
	v.ForEach(func(key, value gjson.Result) bool {
		before, ok := parseWhen(value)
		if !ok || key.Str == "" || !cookie.ValidSubject(key.Str) {
			o.failSubject(key.Str, value)
		}
		o.bounded("subjects", len(out))
		out = append(out, RevokedSubject{strings.Clone(key.Str), before})
		return o.p.err == nil
	})
	sort.Sort(bySubject(out))
	for i := 1; i < len(out); i++ {
		if out[i].Subject == out[i-1].Subject {
			o.p.fail(o.at("subjects."+out[i].Subject), "", "the field stands twice; keep one")
		}
	}
	return out
}

func (o *object) failSubject(subject string, value gjson.Result) {
	at := o.at("subjects." + subject)
	if subject == "" || !cookie.ValidSubject(subject) {
		o.p.fail(at, shown(at, value), "must be the name of a subject: 1 to 256 bytes, no control characters, no space at either end")
	}
	o.p.time(at, value)
}

// sessions reads ids. (There is room for some 40,000 in an answer; what is too many is for both lists together to say.)
func (o *object) sessions() (out []cookie.ID) {
	v := o.fields["sessions"]
	if v.Exists() && !v.IsArray() {
		o.fail("sessions", "must be a list, in [ ]")
	}
	v.ForEach(func(_, value gjson.Result) bool {
		id, ok := parseID(value.Str)
		if !ok {
			o.fail("sessions", "must have sessions' ids as the session document has them")
		}
		out = append(out, id)
		return o.p.err == nil
	})
	sort.Sort(byID(out))
	return slices.Compact(out)
}

// parseID reads a session's id in base64url. (Longer text would not fit, and line breaks in it stand for nothing.)
func parseID(s string) (id cookie.ID, ok bool) {
	if len(s) != base64.RawURLEncoding.EncodedLen(len(id)) {
		return id, false
	}
	n, err := base64.RawURLEncoding.Strict().Decode(id[:], []byte(s))
	return id, err == nil && n == len(id)
}

// Defaults of revoke.feed, in seconds.
const (
	defaultInterval   = 10
	maxInterval       = 3600
	defaultStaleAfter = 5 * 60
)

func (p *parser) revoke(o *object, env func(string) string) Revoke {
	v := Revoke{Revocations: Revocations{Before: o.time("before"), Subjects: o.subjects()}}
	feed := o.child("feed", "cluster", "path", "authority", "interval", "secret_env", "secret", "on_stale", "stale_after")
	if !feed.there {
		return v
	}
	f := &v.Feed
	f.Cluster, f.Path = feed.text("cluster", ""), feed.text("path", "")
	// (Of a mesh's cluster name, outbound|80||app.shop.svc.cluster.local, servers take the last part only.)
	f.Authority = feed.text("authority", f.Cluster[strings.LastIndexByte(f.Cluster, '|')+1:])
	f.Interval = feed.seconds("interval", defaultInterval, 1, maxInterval)
	f.Deny = feed.choice("on_stale", "allow", "deny") == "deny"
	f.StaleAfter = feed.seconds("stale_after", defaultStaleAfter, 2, cookie.MaxOverride)
	if feed.has("secret_env") || feed.has("secret") {
		f.Token = feed.secretText(env)
		if !visible(f.Token) || len(f.Token) < 16 || len(f.Token) > 512 {
			feed.fail(feed.secretField(), "must be 16 to 512 visible ASCII characters, as of `openssl rand -base64 32`")
		}
	}
	switch {
	case f.Cluster == "" || !visible(f.Cluster) || len(f.Cluster) > 256:
		feed.fail("cluster", "is needed: the name of the Envoy cluster to ask, such as app or outbound|80||app.shop.svc.cluster.local")
	case !visible(f.Authority) || len(f.Authority) > 256:
		feed.fail("authority", "must be 1 to 256 visible ASCII characters, such as app.internal")
	case len(f.Path) > 2048 || !visible(f.Path) || f.Path[0] != '/' || strings.IndexByte(f.Path, '#') >= 0:
		feed.fail("path", "is needed: a path on that cluster such as /curfew/revoked")
	case f.StaleAfter < 2*f.Interval:
		feed.fail("stale_after", "must be at least twice interval ("+seconds(f.Interval)+"), or one late answer would lock everybody out")
	}
	return v
}

// ValidETag reports whether an ETag is fit to be sent back (RFC 9110, section 8.8.3).
func ValidETag(s string) bool { return len(s) <= 256 && visible(s) }

// visible reports whether s has one or more characters, all visible ASCII.
func visible(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return s != ""
}
