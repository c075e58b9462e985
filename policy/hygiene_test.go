package policy

import (
	"regexp"
	"testing"
)

func TestOurs(t *testing.T) {
	c := policyOf(t, `"headers":{"x-session-subject":"subject","x-user-name":"data.name"}`)
	for _, tt := range []struct {
		name, header string
		want         bool
	}{
		{"HD-136", "X-Session-User", true},
		{"HD-137", "x_session_user", true},
		{"HD-138", "X-Session_User", true},
		{"HD-142 space", "X-Session-User ", true},
		{"HD-142 tab", "x-session\t", true},
		{"HD-144", "X-SESSION-SUBJECT", true},
		{"HD-149", "X-Session-User\x00x", true},
		{"HD-156 the header that a guard demands", "x-session-subject", true},
		{"the command header", "x-session", true},
		{"the command header with _", "X_Session", true},
		{"reason", "x-session-reason", true},
		{"activity", "x-session-activity", true},
		{"longer word", "x-sessions", true},
		{"mapped", "x-user-name", true},
		{"mapped in other case", "X-User-Name", true},
		{"mapped with _", "x_user_name", true},
		{"mapped, mixed", "X-USER_name", true},
		{"mapped, longer", "x-user-name2", false},
		{"mapped, shorter", "x-user-nam", false},
		{"HD-150 another hyphen", "X\u2011Session\u2011User", false},
		{"HD-157", "X-Forwarded-Host", false},
		{"HD-161", "X-Original-URL", false},
		{"HD-162", "X-HTTP-Method-Override", false},
		{"shorter", "x-sessio", false},
		{"in the middle", "a-x-session", false},
		{"cookie", "cookie", false},
		{"empty", "", false},
		{"lighttpd folds all", "x.user`name", true},
		{"lighttpd, no letter", "x~session+subject", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := c.Ours(tt.header); got != tt.want {
				t.Errorf("%q: got %v", tt.header, got)
			}
		})
	}
}

func TestSetsOurs(t *testing.T) {
	c := policyOf(t)
	for _, tt := range []struct {
		name, setCookie string
		want            bool
	}{
		{"LG-176 session", "__Host-session=x; Path=/", true},
		{"LG-176 touch", "__Host-session-seen=x", true},
		{"deletion", "__Host-session=; Max-Age=0", true},
		{"space around the name", " __Host-session\t=x", true},
		{"no value", "__Host-session", true},
		{"longer name", "__Host-session2=x", false},
		{"shorter name", "__Host-sessio=x", false},
		{"name in other case", "__host-session=x", false},
		{"in a value", "a=__Host-session=x", false},
		{"empty", "", false},
	} {
		if got := c.SetsOurs(tt.setCookie); got != tt.want {
			t.Errorf("%s: got %v", tt.name, got)
		}
	}
}

func TestReasons(t *testing.T) {
	form, seen := regexp.MustCompile(`^[a-z_]+$`), map[string]bool{}
	for r := range Reason(ReasonCount) {
		text := r.String()
		if !form.MatchString(text) || seen[text] {
			t.Errorf("reason %d: %q", r, text)
		}
		seen[text] = true
	}
}
