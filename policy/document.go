package policy

import (
	"encoding/base64"
	"strconv"

	"github.com/tidwall/gjson"
)

// Header is one entry of the config's `headers`: a request header and the path of its value in the
// session document.
type Header struct{ Name, Path string }

// Headers calls set with what the app is told of this decision: each configured header that has a value. At least
// one header that only Curfew sets goes to every app, for a guard behind it demands one: by the usual mapping
// that is who it is from, or why nobody. That mapping builds nothing.
func (c *Config) Headers(d *Decision, now int64, set func(name, value string)) {
	if n := c.mapped(d, now, set); n == 0 || d.Session.Subject == "" {
		set(ReasonHeader, d.Reason.String())
	}
}

// mapped is the part of Headers that a live session has, and reports how many they were.
func (c *Config) mapped(d *Decision, now int64, set func(name, value string)) (n int) {
	if !d.Live {
		return 0
	}
	doc := ""
	for _, h := range c.HeaderMap {
		if h.Path != "subject" && doc == "" {
			doc = string(appendDocument(nil, d, now))
		}
		if value := h.value(d, doc); value != "" {
			set(h.Name, value)
			n++
		}
	}
	if d.Session.Refused {
		set(ErrorHeader, TooLarge.String())
	}
	return n
}

// value is what a header carries. The whole document is no query: gjson's modifiers, of which @this
// is one, are not in the module.
func (h *Header) value(d *Decision, doc string) string {
	switch h.Path {
	case "subject":
		return d.Session.Subject
	case "@this":
		return string(appendASCII(nil, doc))
	}
	return headerValue(gjson.Get(doc, h.Path))
}

// headerValue is a result as a field value: strings bare, all else as JSON. What cannot stand in a
// header is left out whole, for half a value is another value.
func headerValue(v gjson.Result) string {
	if v.Type != gjson.String {
		if v.Type == gjson.Null {
			return ""
		}
		return string(appendASCII(nil, v.Raw))
	}
	s := v.Str
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] == 0x7f {
			return ""
		}
	}
	return s
}

// appendDocument writes the session as the app sees it.
func appendDocument(b []byte, d *Decision, now int64) []byte {
	s := &d.Session
	b = gjson.AppendJSONString(append(b, `{"subject":`...), s.Subject)
	b = gjson.AppendJSONString(append(b, `,"id":`...), base64.RawURLEncoding.EncodeToString(s.ID[:]))
	b = appendNumber(b, `,"started_at":`, s.StartedAt)
	b = appendNumber(b, `,"authenticated_at":`, s.AuthenticatedAt)
	b = appendNumber(b, `,"touched_at":`, d.Seen)
	b = appendNumber(b, `,"idle_in":`, max(d.IdleAt-now, 0))
	b = appendNumber(b, `,"expires_in":`, max(d.ExpiresAt-now, 0))
	b = strconv.AppendBool(append(b, `,"remember":`...), s.Remember)
	b = strconv.AppendBool(append(b, `,"refreshed":`...), d.Slid)
	b = appendNumber(b, `,"revision":`, int64(s.Revision))
	b = gjson.AppendJSONString(append(b, `,"reason":`...), d.Reason.String())
	b = append(b, `,"data":`...)
	if s.Data == "" {
		b = append(b, "{}"...)
	}
	return append(append(b, s.Data...), '}')
}

func appendNumber(b []byte, key string, n int64) []byte {
	return strconv.AppendInt(append(b, key...), n, 10)
}

// appendASCII copies JSON text with DEL and every character beyond ASCII as a \u escape (RFC 8259, section
// 7), for servers disagree on what other bytes in a header mean. In JSON those stand only in strings.
func appendASCII(b []byte, json string) []byte {
	for _, r := range json {
		switch {
		case r < 0x7f:
			b = append(b, byte(r))
		case r > 0xffff:
			r -= 0x10000
			b = appendEscape(appendEscape(b, 0xd800+r>>10), 0xdc00+r&0x3ff)
		default:
			b = appendEscape(b, r)
		}
	}
	return b
}

func appendEscape(b []byte, r rune) []byte {
	const hexDigits = "0123456789abcdef"
	return append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

// JSONString returns s as a JSON string in ASCII.
func JSONString(s string) string {
	return string(appendASCII(nil, string(gjson.AppendJSONString(nil, s))))
}
