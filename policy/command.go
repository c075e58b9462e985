package policy

import (
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
	"github.com/tidwall/pretty"

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
	FaultTogether   Fault = "start and end cannot come together"
	FaultEmpty      Fault = "x-session has no command"
	FaultSubject    Fault = "start.subject must be 1 to 256 bytes of UTF-8 without control characters"
	FaultTimeout    Fault = "start.idle and start.absolute must be durations such as 15m, at least twice timeouts.touch and at most 9600h"
	FaultRoute      Fault = "start is allowed only on a route of login.start_on"
	FaultStatus     Fault = "start is allowed only with a status below 400"
	FaultInsecure   Fault = "start over plain http needs allow_insecure"
	FaultStored     Fault = "start and end are not allowed on a response that a cache served"
	FaultTooLarge   Fault = "the session does not fit into a cookie of 4096 bytes"
	FaultNoKey      Fault = "no key signs yet: the first sign_from is in the future"
	FaultRandomness Fault = "the source of randomness failed"
)

// command is a parsed x-session response header.
type command struct {
	end   bool
	start *start
}

type start struct {
	subject, data  string
	remember       bool
	idle, absolute int64
}

// parseCommand reads the one value of x-session, strictly.
func (c *Config) parseCommand(values []string) (cmd command, fault Fault) {
	switch {
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
		switch key.Str {
		case "start":
			cmd.start, fault = c.parseStart(value)
		case "end":
			if cmd.end = value.Type == gjson.True; !cmd.end {
				fault = FaultType
			}
		default:
			fault = FaultUnknown
		}
		return fault == ""
	})
	switch {
	case fault != "":
	case cmd.end && cmd.start != nil:
		fault = FaultTogether
	case !cmd.end && cmd.start == nil:
		fault = FaultEmpty
	}
	return cmd, fault
}

func (c *Config) parseStart(v gjson.Result) (s *start, fault Fault) {
	if !v.IsObject() {
		return nil, FaultType
	}
	s = &start{}
	v.ForEach(func(key, value gjson.Result) bool {
		fault = c.startField(s, key.Str, value)
		return fault == ""
	})
	if fault == "" && s.subject == "" {
		fault = FaultSubject
	}
	return s, fault
}

func (c *Config) startField(s *start, key string, v gjson.Result) (fault Fault) {
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
		if s.data = string(pretty.Ugly([]byte(v.Raw))); s.data == "{}" {
			s.data = ""
		}
	case "remember":
		s.remember = v.Type == gjson.True
		if !s.remember && v.Type != gjson.False {
			return FaultType
		}
	case "idle":
		s.idle, fault = c.startTimeout(v)
	case "absolute":
		s.absolute, fault = c.startTimeout(v)
	default:
		return FaultUnknown
	}
	return fault
}

func (c *Config) startTimeout(v gjson.Result) (int64, Fault) {
	seconds, ok := parseDuration(v.Str)
	if v.Type != gjson.String || !ok || seconds < 2*c.Timeouts.Touch || seconds > cookie.MaxOverride {
		return 0, FaultTimeout
	}
	return seconds, ""
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
