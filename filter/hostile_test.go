package filter_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/curfew-proxy/curfew/cookie"
)

// hostile is a case of cookie lines; who is the subject that the app may see.
type hostile struct {
	name, who string
	lines     []string
}

func (c hostile) run(t *testing.T, s *site) {
	t.Run(c.name, func(t *testing.T) {
		o := s.request("GET", "/page", c.lines)
		o.want(t, c.who)
	})
}

const (
	known    = "victim"
	stranger = ""
)

func line(name, who string, cookies ...string) hostile { return hostile{name, who, cookies} }

// Family CK: what a Cookie header may look like.
func TestCookieSyntax(t *testing.T) {
	inBoth(t, "", func(t *testing.T, s *site) {
		g := s.mint(someone(known))
		b := g[:len(g)-4] + "AAAA"
		n := name
		high := ""
		for c := 0x80; c <= 0xff; c++ {
			high += string([]byte{byte(c)})
		}
		var nine []string
		for i := range 9 {
			nine = append(nine, n+"="+g+fmt.Sprint(i))
		}
		for _, c := range []hostile{
			line("CK-1", stranger, ""),
			line("CK-2", stranger, n),
			line("CK-4", stranger, n+"=="),
			line("CK-4 with the value", stranger, n+"=="+g),
			line("CK-5", stranger, "="+g),
			line("CK-6", stranger, "="+n+"="+g),
			line("CK-8", known, "a=b;"+n+"="+g+";c=d"),
			line("CK-9", known, "a=b;  "+n+"="+g),
			line("CK-10", stranger, n+" ="+g),
			line("CK-12", stranger, n+`="`+g+`"`),
			line("CK-13", stranger, n+"='"+g+"'"),
			line("CK-14", stranger, strings.ToLower(n)+"="+g),
			line("CK-16", stranger, "__Host%2Dsession="+g),
			line("CK-17", stranger, "\u2000"+n+"="+g),
			line("CK-18", stranger, "\u00a0"+n+"="+g),
			line("CK-20 vertical tab", stranger, "\x0b"+n+"="+g),
			line("CK-20 form feed", stranger, "\x0c"+n+"="+g),
			line("CK-21", known, "a=b;\t"+n+"="+g),
			line("CK-22", stranger, n+"\x00="+g),
			line("CK-24", stranger, n+"="+g+","+n+"="+b),
			line("CK-25", stranger, "$Version=1; "+n+"="+g+"; $Path=/"),
			line("CK-26", stranger, `$Version="1"; `+n+`="`+g+`"`),
			line("CK-28", known, n+"="+g+"; "+n+"="+b),
			line("CK-29", known, n+"="+b+"; "+n+"="+g),
			line("CK-30", known, n+"="+g+"; "+n+"="+g),
			line("CK-32", known, n+"="+g, n+"="+b),
			line("CK-33", known, n+"="+b, n+"="+g),
			line("CK-34", known, "a=b", n+"="+g, "c=d"),
			line("CK-36", stranger, n+"2="+g+"; x"+n+"="+g+"; "+n+".0="+g),
			line("CK-37", stranger, n+"="+g+"%3B"),
			line("CK-38", stranger, n+"="+strings.ReplaceAll(g, ".", "%2e")),
			line("CK-40", stranger, strings.Repeat(";", 10_000)),
			line("CK-40 around", known, strings.Repeat(";", 5000)+n+"="+g+strings.Repeat(";", 5000)),
			line("CK-41", stranger, strings.Repeat("a=b; ", 5000)),
			line("CK-41 and ours", known, strings.Repeat("a=b; ", 5000)+n+"="+g),
			line("CK-42", stranger, n+"="+strings.Repeat("A", 60<<10)),
			line("CK-44", stranger, high+n+"="+g+"; "+n+"="+high),
			line("nine candidates, one good", stranger, strings.Join(append(nine, n+"="+g), "; ")),
			line("RP-126 two sessions", stranger, n+"="+g+"; "+n+"="+s.mint(someone("attacker"))),
			line("RP-132", known, strings.Repeat("a=b; ", 200)+n+"="+g),
		} {
			c.run(t, s)
		}
		s.sound(t)
	})
}

// The value in other places than a Cookie header.
func TestNoCookie(t *testing.T) {
	inBoth(t, "", func(t *testing.T, s *site) {
		n, g := name, s.mint(someone(known))
		for _, c := range []struct{ number, header string }{{"CK-45", "set-cookie"}, {"CK-46 Cookie2", "cookie2"}, {"CK-46 _cookie", "_cookie"},
			{"CK-46 cookie_", "cookie_"}, {"CK-48 X-Session", "x-session"}, {"CK-48 Authorization", "authorization"}} {
			t.Run(c.number, func(t *testing.T) {
				o := s.send([][2]string{{":method", "GET"}, {":path", "/page?" + n + "=" + g}, {":authority", "a"}, {"accept", "text/html"}, {c.header, n + "=" + g}})
				o.want(t, stranger)
			})
		}
		s.sound(t)
	})
}

// sound: the filter still knows a session and still refuses a stranger.
func (s *site) sound(t *testing.T) {
	t.Helper()
	o := s.request("GET", "/page", []string{name + "=" + s.mint(someone("afterwards"))})
	o.want(t, "afterwards")
	o = s.request("GET", "/page", nil)
	o.want(t, stranger)
}

// Family TM: tokens that somebody changed.
func TestTampering(t *testing.T) {
	inBoth(t, "", func(t *testing.T, s *site) {
		victim := someone(known)
		g, x := s.mint(victim), s.mint(someone("attacker"))
		dot := strings.LastIndexByte(g, '.')
		prefix, body, other := g[:dot+1], g[dot+1:], x[strings.LastIndexByte(x, '.')+1:]
		tag := len(body) - 43
		raw, _ := base64.RawURLEncoding.DecodeString(body)
		for _, c := range []struct{ name, token string }{
			{"TM-54 by 1", g + "A"},
			{"TM-54 by 16", g + strings.Repeat("A", 16)},
			{"TM-56 one", g + "="},
			{"TM-56 two", g + "=="},
			{"TM-58 line feed", prefix + body[:9] + "\n" + body[9:]},
			{"TM-58 return", prefix + body[:9] + "\r\n" + body[9:]},
			{"TM-60", strings.ToUpper(g)},
			{"TM-60 body", prefix + strings.ToLower(body)},
			{"TM-61 more", g + "."},
			{"TM-61 less", "1s" + body},
			{"TM-62 tag", ".k1." + body},
			{"TM-62 body", prefix},
			{"TM-62 all", ".."},
			{"TM-64", "1s.." + body},
			{"TM-65", "1s.k2." + body},
			{"TM-68", "1s." + strings.Repeat("k", 1<<16) + "." + body},
			{"TM-69 __proto__", "1s.__proto__." + body},
			{"TM-69 dots", "1s.../." + body},
			{"TM-69 NUL", "1s.k1%00." + body},
			{"TM-70", prefix + body[:tag]},
			{"TM-72", prefix + base64.RawURLEncoding.EncodeToString(append(append([]byte{}, raw[:len(raw)-32]...), make([]byte, 32)...))},
			{"TM-73", prefix + base64.RawURLEncoding.EncodeToString(append(append([]byte{}, raw[:len(raw)-32]...), raw[:32]...))},
			{"TM-74", prefix + body[:tag] + other[len(other)-43:]},
			{"TM-76", "1e" + prefix[2:] + body},
			{"TM-80", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."},
			{"TM-82 Flask", "eyJzdWIiOiJhZG1pbiJ9.ZzXk3w.c2lnbmF0dXJlc2lnbmF0dXJl"},
			{"TM-82 Django", "eyJzdWIiOiJhZG1pbiJ9:1tYw2u:c2lnbmF0dXJl"},
			{"TM-82 Rack", "BAh7B0kiD3Nlc3Npb25faWQ--0123456789abcdef0123456789abcdef01234567"},
			{"TM-84", prefix + base64.RawURLEncoding.EncodeToString(make([]byte, 32))},
			{"TM-89 touch", s.touch(victim.ID, epoch)},
		} {
			line(c.name, stranger, name+"="+c.token).run(t, s)
		}
		s.sound(t)
	})
}

// TM-49, TM-50, TM-52, TM-53: every one of a kind.
func TestTamperingEvery(t *testing.T) {
	inBoth(t, "", func(t *testing.T, s *site) {
		g := s.mint(someone(known))
		for _, c := range []struct {
			name   string
			change func(i int) []string
		}{
			{"TM-49", func(i int) (out []string) {
				for bit := range 8 {
					out = append(out, g[:i]+string([]byte{g[i] ^ 1<<bit})+g[i+1:])
				}
				return out
			}},
			{"TM-50", func(i int) []string { return []string{g[:i] + g[i+1:]} }},
			{"TM-52", func(i int) []string {
				return []string{g[:i] + g[i+1:min(i+2, len(g))] + g[i:i+1] + g[min(i+2, len(g)):]}
			}},
			{"TM-53", func(i int) []string { return []string{g[:i]} }},
		} {
			t.Run(c.name, func(t *testing.T) {
				for i := range g {
					for _, token := range c.change(i) {
						if token == g || strings.Contains(token, ";") {
							continue // the same, or the value ends there: another case
						}
						if o := s.request("GET", "/page", []string{name + "=" + token}); o.local == nil || o.local.StatusCode != 302 {
							t.Errorf("at %d: the app saw %q", i, o.subject())
						}
					}
				}
			})
		}
		s.sound(t)
	})
}

// TM-57: the last character of a body whose length is no multiple of 3 has bits that say nothing.
func TestNonCanonical(t *testing.T) {
	inBoth(t, "", func(t *testing.T, s *site) {
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		for _, subject := range []string{"a", "ab", "abc"} {
			g := s.mint(someone(subject))
			last := strings.IndexByte(alphabet, g[len(g)-1])
			for i := range alphabet {
				if i != last {
					line(fmt.Sprintf("TM-57 %s %d", subject, i), stranger, name+"="+g[:len(g)-1]+alphabet[i:i+1]).run(t, s)
				}
			}
			line("as it was", subject, name+"="+g).run(t, s)
		}
	})
}

// Tokens of the same key for another purpose, audience or name.
func TestOtherScope(t *testing.T) {
	inBoth(t, "", func(t *testing.T, s *site) {
		for _, c := range []struct {
			name string
			opt  cookie.Options
		}{
			{"TM-78 sealed", cookie.Options{Name: name, Sealed: true}},
			{"TM-88 audience", cookie.Options{Name: name, Audience: "forum"}},
			{"TM-93 name", cookie.Options{Name: "__Host-sessio", Audience: "n"}},
			{"RP-128 other cookie", cookie.Options{Name: "__Host-other"}},
		} {
			other := *s
			other.codec = s.newCodec(c.opt)
			line(c.name, stranger, name+"="+other.mint(someone(known))).run(t, s)
		}
		s.sound(t)
	})
	inBoth(t, `, "cookie": {"mode": "sealed"}`, func(t *testing.T, s *site) {
		line("TM-77 signed", stranger, name+"="+s.mint(someone(known))).run(t, s)
		s.codec = s.newCodec(cookie.Options{Name: name, Sealed: true})
		s.sound(t)
	})
}

// Family TI: every time is signed, so all that is left is what the clock makes of it.
func TestTimes(t *testing.T) {
	inBoth(t, `, "timeouts": {"idle": "15m", "absolute": "12h", "touch": "1m", "clock_skew": "1m"}`, func(t *testing.T, s *site) {
		const idle, absolute = 900, 12 * 3600
		for _, c := range []struct {
			name, who               string
			started, authed, issued int64 // from epoch
			touch                   int64 // from epoch; 0: none
		}{
			{"now", known, 0, 0, 0, 0},
			{"TI-105", known, 60, 60, 60, 0},
			{"TI-106", stranger, 61, 61, 61, 0},
			{"TI-108 2^31-1", stranger, 1<<31 - 1 - epoch, 1<<31 - 1 - epoch, 1<<31 - 1 - epoch, 0},
			{"TI-108 2^31", stranger, 1<<31 - epoch, 1<<31 - epoch, 1<<31 - epoch, 0},
			{"TI-108 2^32", stranger, 1<<32 - epoch, 1<<32 - epoch, 1<<32 - epoch, 0},
			{"TI-109 the last that fits", stranger, 0, 0, cookie.MaxTime - epoch, 0},
			{"TI-114 idle before", known, -idle + 1, -idle + 1, -idle + 1, 0},
			{"TI-114 idle at", stranger, -idle, -idle, -idle, 0},
			{"TI-114 idle after", stranger, -idle - 1, -idle - 1, -idle - 1, 0},
			{"absolute before", known, -absolute + 1, -absolute + 1, 0, 0},
			{"absolute at", stranger, -absolute, -absolute, 0, 0},
			{"touched in time", known, -2 * idle, -2 * idle, -2 * idle, -idle + 1},
			{"touched too late", stranger, -2 * idle, -2 * idle, -2 * idle, -idle},
			{"TI-112 touched in the future", stranger, -idle, -idle, -idle, 61},
			{"TI-112 touched within the skew", known, -idle, -idle, -idle, 60},
			{"TI-112 a touch never extends absolute", stranger, -absolute, -absolute, -absolute, 60},
			{"TI-118 started an hour ahead", stranger, 3600, 3600, 3600, 0},
			{"begun in 1970", stranger, 1 - epoch, 1 - epoch, 0, 0},
		} {
			session := someone(known)
			session.StartedAt, session.AuthenticatedAt, session.IssuedAt = epoch+c.started, epoch+c.authed, epoch+c.issued
			cookies := name + "=" + s.mint(session)
			if c.touch != 0 {
				cookies += "; " + name + "-seen=" + s.touch(session.ID, epoch+c.touch)
			}
			line(c.name, c.who, cookies).run(t, s)
		}
	})
}

// TI-113, TI-117: a session's own timeouts, and what a rewritten cookie may not move.
func TestOwnTimes(t *testing.T) {
	inBoth(t, `, "timeouts": {"rotate": "1m"}`, func(t *testing.T, s *site) {
		short := someone(known)
		short.StartedAt, short.AuthenticatedAt, short.IssuedAt = epoch-300, epoch-300, epoch-200
		short.Idle, short.Absolute = 3600, 300
		line("TI-113 absolute below idle", stranger, name+"="+s.mint(short)).run(t, s)

		end := someone(known)
		end.StartedAt, end.AuthenticatedAt, end.IssuedAt = epoch-12*3600+10, epoch-12*3600+10, epoch-600
		o := s.request("GET", "/page", []string{name + "=" + s.mint(end)})
		o.want(t, known)
		_, token, _ := strings.Cut(o.setCookie(name+"-renewed"), ".")
		t.Run("TI-117 renewed ten seconds before its end", func(t *testing.T) {
			got, err := s.codec.Open(token, epoch+60)
			if err != nil || got.Session.StartedAt != end.StartedAt || got.Session.ID != end.ID || got.Session.IssuedAt < epoch {
				t.Errorf("renewed to %+v, %v", got.Session, err)
			}
		})
	})
}
