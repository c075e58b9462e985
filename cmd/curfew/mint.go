package main

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/curfew-proxy/curfew/cookie"
	"github.com/curfew-proxy/curfew/policy"
)

var mint = command{
	name: "mint", args: "-config FILE -subject NAME [-data JSON] [-remember] [-at TIME] [-seen TIME] [-print FORM]",
	does: "make a session's cookies, for tests and for support",
	about: "The session is one that an app began at the time of -at, under the key that signed then. The keys come from the environment variables that the config names.\n" +
		"Who has these cookies is that person until a timeout ends the session, on every proxy with the key, and no log tells a minted session from a login.",
	examples: []example{
		{"ask a proxy as subject 42, with no cookie on a command line", "curfew mint -config envoy.yaml -subject 42 | curl -sS -H @- http://localhost:10000/"},
		{"an administrator who logged in some time ago and was there just now", `curfew mint -config envoy.yaml -subject 7 -data '{"role":"admin"}' -at 2026-11-20T08:00:00Z -seen 2026-11-20T08:10:00Z`},
	},
	flags: func(set *flag.FlagSet) func(*terminal, []string) error {
		m := &minting{}
		set.StringVar(&m.config, "config", "", "`FILE` with the filter's config, - for standard input")
		set.StringVar(&m.subject, "subject", "", "who it is, the `NAME` that the app would give")
		set.StringVar(&m.data, "data", "", "the session's data, a `JSON` object")
		set.BoolVar(&m.remember, "remember", false, "begin a session under the config's remember")
		timeFlag(set, &m.at, "at", "when it began, a `TIME` such as 2026-11-20T08:00:00Z (RFC 3339); by default now")
		timeFlag(set, &m.seen, "seen", "when somebody was last active in it, a `TIME` that makes a touch cookie, too")
		set.StringVar(&m.print, "print", "cookie", "`FORM` to print: cookie (a request's line), set-cookie (the response's lines) or json")
		return m.mint
	},
}

// minting is what mint is asked for.
type minting struct {
	config, subject, data, print string
	remember                     bool
	at, seen                     time.Time
}

// minted is a cookie as it is printed.
type minted struct {
	Name      string `json:"name"`
	Value     string `json:"value"`
	SetCookie string `json:"set_cookie"`
}

func (m *minting) mint(t *terminal, args []string) error {
	now := t.now()
	m.at = cmp.Or(m.at, now)
	switch {
	case len(args) > 0:
		return t.misused("mint: takes no argument; the subject goes to -subject, the config to -config")
	case m.config == "" || m.subject == "":
		return t.misused("mint: needs -config FILE and -subject NAME")
	case m.print != "cookie" && m.print != "set-cookie" && m.print != "json":
		return t.misused("mint: -print %q: must be cookie, set-cookie or json", m.print)
	case m.at.After(now) || m.seen.After(now):
		return t.misused("mint: -at and -seen must not be to come; a proxy refuses what was issued in the future")
	case !m.seen.IsZero() && m.seen.Before(m.at):
		return t.misused("mint: -seen must not be before -at; nobody was active in a session before it began")
	}
	c, err := readConfig(t, m.config)
	if err != nil {
		return err
	}
	reply, err := m.start(c)
	if err != nil {
		return err
	}
	if err := m.write(t, reply.Cookies); err != nil {
		return err
	}
	fmt.Fprintln(t.err, "A session of", m.subject+":", deadlines(c, &reply.Session, reply.Seen).String(now.Unix())+". Keep it as you would a password.")
	return nil
}

// start has the policy begin the session as for an app on its login route.
func (m *minting) start(c *policy.Config) (reply policy.Reply, err error) {
	command, err := m.command()
	if err != nil {
		return reply, err
	}
	origin := &policy.Origin{CanStart: true}
	random := func(b []byte) error { _, err := rand.Read(b); return err }
	switch reply = c.Respond(origin, &policy.Response{Status: 200, Commands: []string{command}}, m.at.Unix(), random); {
	case reply.Fault == policy.FaultNoKey:
		return reply, fmt.Errorf("no key of the config signed at %s; give -at a time from the first sign_from on", at(m.at.Unix()))
	case reply.Fault != "":
		return reply, fmt.Errorf("-subject or -data: an app could not begin this session either: %s", reply.Fault)
	}
	if !m.seen.IsZero() {
		err = m.touch(c, &reply)
	}
	return reply, err
}

func (m *minting) command() (string, error) {
	type start struct {
		Subject  string          `json:"subject"`
		Data     json.RawMessage `json:"data,omitempty"`
		Remember bool            `json:"remember,omitempty"`
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(map[string]start{"start": {m.subject, json.RawMessage(m.data), m.remember}}); err != nil {
		return "", errors.New(`-data: is not JSON; give an object such as {"role":"admin"}, in single quotes for the shell`)
	}
	return strings.TrimSpace(b.String()), nil
}

// touch adds the cookie of activity.
func (m *minting) touch(c *policy.Config, reply *policy.Reply) error {
	codec, err := cookie.NewCodec(cookie.Options{Name: c.Cookie.Name, Audience: c.Audience}, c.Keys)
	if err != nil {
		return err
	}
	slot := m.seen.Unix() - m.seen.Unix()%c.Timeouts.Touch
	token, err := codec.SealTouch(reply.Session.ID, slot, m.seen.Unix())
	if err != nil {
		return fmt.Errorf("-seen: no key of the config signed at %s", at(m.seen.Unix()))
	}
	maxAge := int64(cookie.SessionOnly)
	if reply.Session.OutlivesBrowser() {
		maxAge = deadlines(c, &reply.Session, slot).absolute - slot
	}
	reply.Seen = max(slot, reply.Session.IssuedAt)
	reply.Cookies = append(reply.Cookies, c.Cookie.Set(c.Cookie.Name+cookie.TouchSuffix, token, maxAge))
	return nil
}

func (m *minting) write(t *terminal, lines []string) error {
	var cookies []minted
	var pairs []string
	for _, line := range lines {
		pair, _, _ := strings.Cut(line, ";")
		name, value, _ := strings.Cut(pair, "=")
		cookies, pairs = append(cookies, minted{name, value, line}), append(pairs, pair)
	}
	switch m.print {
	case "json":
		return writeJSON(t.out, cookies)
	case "set-cookie":
		fmt.Fprintln(t.out, "Set-Cookie: "+strings.Join(lines, "\nSet-Cookie: "))
	default:
		fmt.Fprintln(t.out, "Cookie: "+strings.Join(pairs, "; "))
	}
	return nil
}
