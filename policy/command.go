package policy

import (
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/curfew-proxy/curfew/cookie"
)

const (
	// maxCommand bounds an x-session response header, in bytes: twice what could fit in a cookie.
	maxCommand = 8192
	// maxDepth bounds how deep its JSON, and the config's, may nest: the guest's stack is 64 KiB.
	maxDepth = 16
)

// Fault says which rule an app's x-session header broke. It is one of a closed list, so a log line
// never carries what the app wrote. "" is none.
type Fault string

// The faults.
const (
	FaultUnreadable Fault = "the response's headers cannot be read"
	FaultMany       Fault = "more than one x-session header"
	FaultSize       Fault = "x-session is empty or over 8192 bytes"
	FaultJSON       Fault = "x-session is not one JSON object with unique keys, at most 16 levels deep"
	FaultUnknown    Fault = "x-session has an unknown command"
	FaultType       Fault = "x-session has a command or a field of the wrong type"
	FaultTogether   Fault = "end comes alone, and start only with expire_in"
	FaultEmpty      Fault = "x-session has no command"
	FaultSubject    Fault = "start.subject must be 1 to 256 bytes of UTF-8 without control characters"
	FaultTimeout    Fault = "a timeout must be a duration such as 15m, from 1s to 9600h"
	FaultRoute      Fault = "start is allowed only on a route of login.start_on"
	FaultStatus     Fault = "start is allowed only with a status below 400"
	FaultInsecure   Fault = "a session over plain http needs allow_insecure"
	FaultStored     Fault = "a response that a cache served cannot change a session"
	FaultNoSession  Fault = "there is no live session here; only set begins one, where the config has anonymous: true"
	FaultOff        Fault = "a wrapped cookie is lost: the app does not get to see the session on this path"
	FaultTooLarge   Fault = "the session does not fit into a cookie of 4096 bytes"
	FaultNoKey      Fault = "no key signs now: the first sign_from is in the future, or the last verify_until is past"
	FaultRandomness Fault = "the source of randomness failed"
)

// command is a parsed x-session response header. The zero command asks for nothing.
type command struct {
	start    *start
	set      string // a JSON merge patch, or ""
	expire   *expiry
	remember *bool
	rotate   bool
	end      bool
}

type start struct {
	subject, data  string
	remember, keep bool
	idle, absolute int64
}

// expiry is what expire_in says of this very session.
type expiry struct {
	idle     int64
	lifetime cookie.Lifetime
}

// parseCommand reads the one value of x-session, strictly. None is no command.
func (c *Config) parseCommand(values []string) (cmd command, fault Fault) {
	switch {
	case len(values) == 0:
		return cmd, ""
	case len(values) > 1:
		return cmd, FaultMany
	case values[0] == "" || len(values[0]) > maxCommand:
		return cmd, FaultSize
	case !strictJSON(values[0]):
		return cmd, FaultJSON
	}
	doc := gjson.Parse(values[0])
	if !doc.IsObject() {
		return cmd, FaultJSON
	}
	doc.ForEach(func(key, value gjson.Result) bool {
		fault = cmd.field(key.Str, value)
		return fault == ""
	})
	if fault == "" {
		fault = cmd.check()
	}
	return cmd, fault
}

func (cmd *command) field(key string, v gjson.Result) (fault Fault) {
	switch key {
	case "start":
		cmd.start, fault = parseStart(v)
	case "set":
		if !v.IsObject() {
			return FaultType
		}
		cmd.set = v.Raw
	case "expire_in":
		cmd.expire, fault = parseExpiry(v)
	case "remember":
		cmd.remember = new(bool)
		fault = parseBool(v, cmd.remember)
	case "rotate":
		cmd.rotate, fault = true, mustBeTrue(v)
	case "end":
		cmd.end, fault = true, mustBeTrue(v)
	default:
		fault = FaultUnknown
	}
	return fault
}

// check: what came together must make sense in any order.
func (cmd *command) check() Fault {
	others := cmd.set != "" || cmd.remember != nil || cmd.rotate
	switch {
	case cmd.end && (others || cmd.start != nil || cmd.expire != nil), cmd.start != nil && others:
		return FaultTogether
	case !cmd.any() && !cmd.end:
		return FaultEmpty
	}
	return ""
}

// any reports whether the session is to be written.
func (cmd *command) any() bool {
	return cmd.start != nil || cmd.set != "" || cmd.expire != nil || cmd.remember != nil || cmd.rotate
}

func parseStart(v gjson.Result) (s *start, fault Fault) {
	if !v.IsObject() {
		return nil, FaultType
	}
	s = &start{}
	v.ForEach(func(key, value gjson.Result) bool {
		fault = s.field(key.Str, value)
		return fault == ""
	})
	if fault == "" && s.subject == "" {
		fault = FaultSubject
	}
	return s, fault
}

func (s *start) field(key string, v gjson.Result) (fault Fault) {
	switch key {
	case "subject":
		if s.subject = v.Str; v.Type != gjson.String || !cookie.ValidSubject(s.subject) || strings.Contains(s.subject, "\ufffd") {
			// U+FFFD is what half a surrogate pair decodes to: two people could become one.
			return FaultSubject
		}
	case "data":
		if !v.IsObject() {
			return FaultType
		}
		s.data = compact(v.Raw)
	case "remember":
		return parseBool(v, &s.remember)
	case "keep":
		return parseBool(v, &s.keep)
	case "idle":
		s.idle, fault = parseTimeout(v)
	case "absolute":
		s.absolute, fault = parseTimeout(v)
	default:
		return FaultUnknown
	}
	return fault
}

// parseExpiry reads expire_in, which means what Django's set_expiry does with a number, 0 and None.
func parseExpiry(v gjson.Result) (*expiry, Fault) {
	switch {
	case v.Type == gjson.Null:
		return &expiry{lifetime: cookie.ByRemember}, ""
	case v.Type == gjson.String && v.Str == "browser":
		return &expiry{lifetime: cookie.Browser}, ""
	}
	idle, fault := parseTimeout(v)
	return &expiry{idle, cookie.Persistent}, fault
}

func parseTimeout(v gjson.Result) (int64, Fault) {
	seconds, ok := parseDuration(v.Str)
	if v.Type != gjson.String || !ok || seconds < 1 || seconds > cookie.MaxOverride {
		return 0, FaultTimeout
	}
	return seconds, ""
}

func parseBool(v gjson.Result, out *bool) Fault {
	if *out = v.Type == gjson.True; !*out && v.Type != gjson.False {
		return FaultType
	}
	return ""
}

func mustBeTrue(v gjson.Result) Fault {
	if v.Type != gjson.True {
		return FaultType
	}
	return ""
}

// strictJSON reports whether text is valid JSON (RFC 8259), UTF-8, not too deep, and without a name
// twice in one object: readers disagree on which of two counts.
func strictJSON(text string) bool {
	return utf8.ValidString(text) && shallow(text) && gjson.Valid(text) && uniqueKeys(gjson.Parse(text))
}

// shallow counts brackets before anything recurses into them.
func shallow(text string) bool {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted:
			if c == '\\' {
				i++
			}
			quoted = c != '"'
		case c == '"':
			quoted = true
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return false
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return true
}

func uniqueKeys(v gjson.Result) bool {
	if !v.IsObject() && !v.IsArray() {
		return true
	}
	ok, seen := true, map[string]bool{}
	v.ForEach(func(key, value gjson.Result) bool {
		if v.IsObject() {
			ok = !seen[key.Str]
			seen[key.Str] = true
		}
		ok = ok && uniqueKeys(value)
		return ok
	})
	return ok
}
