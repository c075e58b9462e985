package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/curfew-proxy/curfew/cookie"
	"github.com/curfew-proxy/curfew/policy"
)

var inspect = command{
	name: "inspect", args: "[-config FILE] [-at TIME] [-json] [FILE]",
	does: "show what is in a session's cookies",
	about: "Reads tokens, cookie values, and lines Cookie: or Set-Cookie: from the file or from standard input, never from the command line: whoever has a token is that person.\n" +
		"With -config, and the keys in the environment variables that it names, each token is opened as a proxy would: the answer names the step of the opening that failed, and what to do next. " +
		"A touch is opened beside its session, so give both. Without -config nothing is verified: it shows what anybody can read, which for a sealed token is its key and its size.\n" +
		"The values of wrapped cookies are never shown. A session that has timed out is still shown; `curfew explain` says what a request with it gets.",
	examples: []example{
		{"what a browser sent, pasted into a file", "curfew inspect -config envoy.yaml cookie.txt"},
		{"without the keys", "curfew inspect cookie.txt"},
		{"who is this?", "curfew inspect -json -config envoy.yaml < cookie.txt"},
	},
	flags: func(set *flag.FlagSet) func(*terminal, []string) error {
		var config string
		var when time.Time
		var asJSON bool
		set.StringVar(&config, "config", "", "`FILE` with the filter's config, to verify with")
		timeFlag(set, &when, "at", "open the tokens as of a `TIME` such as 2026-11-20T08:00:00Z (RFC 3339); by default now")
		set.BoolVar(&asJSON, "json", false, "print a JSON object for each token, one a line")
		return func(t *terminal, args []string) error {
			if len(args) > 1 {
				return t.misused("inspect: takes one file; put more lines into it")
			}
			file := strings.Join(append(args, "-")[:1], "")
			if file == config && file == "-" {
				return t.misused("inspect: the config and the tokens cannot both come from standard input; give the path of either")
			}
			o := &opener{now: cmp.Or(when, t.now()).Unix()}
			if config != "" {
				if err := o.use(t, config); err != nil {
					return err
				}
			}
			return o.inspect(t, file, asJSON)
		}
	},
}

// opener opens tokens as a proxy would, where it has a codec.
type opener struct {
	config *policy.Config // nil: nothing is verified
	codec  *cookie.Codec
	now    int64
	opened map[cookie.ID][]*tokenReport // the verified sessions
}

func (o *opener) use(t *terminal, file string) (err error) {
	if o.config, err = readConfig(t, file); err != nil {
		return err
	}
	return o.makeCodec()
}

func (o *opener) makeCodec() (err error) {
	c := o.config
	o.codec, err = cookie.NewCodec(cookie.Options{Name: c.Cookie.Name, Audience: c.Audience, Sealed: c.Cookie.Sealed, Skew: c.Timeouts.Skew}, c.Keys)
	return err
}

func (o *opener) inspect(t *terminal, file string, asJSON bool) error {
	if in, ok := t.in.(*os.File); file == "-" && ok && term.IsTerminal(int(in.Fd())) {
		fmt.Fprintln(t.err, "Paste tokens or a Cookie: line, then Return and Ctrl-D.")
	}
	text, err := readInput(t, file)
	if err != nil {
		return err
	}
	tokens := o.find(string(text))
	if len(tokens) == 0 {
		return errors.New("there is no token in it; give a whole cookie value (1s..., 1e... or 1t...), or a line Cookie: or Set-Cookie: as a browser's developer tools or curl -v show it")
	}
	failed := false
	for _, r := range o.openAll(tokens) {
		failed = failed || r.Failed != ""
		if asJSON {
			err = writeJSON(t.out, r)
		} else {
			r.print(t, o.now)
		}
	}
	if err == nil && failed {
		return errFound
	}
	return err
}

// found is a cookie value that is a token, or should be one.
type found struct {
	name  string // the cookie's; "" where it is not known
	bound string // of a renewal: what it says of the session token that it renews
	token string
}

// find takes tokens out of lines of several kinds.
func (o *opener) find(text string) (all []found) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(strings.TrimLeft(line, "<> ")) // curl -v marks lines so
		header, rest, _ := strings.Cut(line, ":")
		pairs := []string{line}
		switch {
		case strings.EqualFold(header, "cookie"):
			pairs = strings.Split(rest, ";")
		case strings.EqualFold(header, "set-cookie"):
			pair, _, _ := strings.Cut(rest, ";")
			pairs = []string{pair}
		case strings.Contains(line, "="):
			pairs = strings.Split(line, ";")
		}
		for _, pair := range pairs {
			if f, ok := o.token(strings.TrimSpace(pair)); ok {
				all = append(all, f)
			}
		}
	}
	if whole := strings.TrimSpace(text); len(all) == 0 && whole != "" && !strings.ContainsAny(whole, "\n:;=") {
		return []found{{token: whole}} // one word was meant to be a token
	}
	return all
}

// token reads a pair, or a bare value. It is a token by its look or its name.
func (o *opener) token(pair string) (f found, ok bool) {
	name, value, named := strings.Cut(pair, "=")
	if !named {
		name, value = "", pair
	}
	f = found{name: name, token: value}
	if bound, token, cut := strings.Cut(value, "."); cut && len(bound) == cookie.BoundSize && looksToken(token) {
		f.bound, f.token = bound, token
	}
	return f, looksToken(f.token) || o.ours(name) && value != ""
}

func looksToken(s string) bool {
	return strings.HasPrefix(s, "1s.") || strings.HasPrefix(s, "1e.") || strings.HasPrefix(s, "1t.")
}

func (o *opener) ours(name string) bool {
	if o.config == nil {
		return false
	}
	base := o.config.Cookie.Name
	return name == base || name == base+cookie.TouchSuffix || name == base+cookie.RenewedSuffix
}

// openAll opens sessions before touches, which are checked against them, and keeps the order.
func (o *opener) openAll(tokens []found) []*tokenReport {
	reports := make([]*tokenReport, len(tokens))
	o.opened = map[cookie.ID][]*tokenReport{}
	for _, touches := range [...]bool{false, true} {
		for i, f := range tokens {
			if strings.HasPrefix(f.token, "1t.") == touches {
				reports[i] = o.open(f)
			}
		}
	}
	for i, f := range tokens {
		if r := reports[i]; r.Renewal && r.Failed == "" && !slices.ContainsFunc(tokens, f.renews) {
			r.Why = "it does not renew a session cookie that is here: beside another one, or none, a proxy ignores it"
		}
	}
	return reports
}

// renews reports whether a renewal names that session cookie.
func (f *found) renews(session found) bool {
	return session.bound == "" && cookie.BoundTo(session.token) == f.bound
}

// open says what a token is. Of one that a proxy would refuse, it shows what can be read without the key.
func (o *opener) open(f found) *tokenReport {
	claims, err := cookie.Inspect(f.token)
	r := &tokenReport{Cookie: printable(f.name), Kind: claims.Purpose.String(), Key: claims.KeyID, Size: claims.Size, Renewal: f.bound != ""}
	switch {
	case o.codec == nil:
		r.Next = "anybody could have written it; give -config, and its keys in the environment, to verify it"
	case claims.Purpose == cookie.Touch && len(o.opened) == 0:
		r.Next = "a touch is checked against its session, and none is here that opens; give both cookies of the request"
	case claims.Purpose == cookie.Touch:
		claims.Seen, err = o.openTouch(f.token)
		r.Verified = err == nil
	default:
		var opened cookie.Opened
		if opened, err = o.codec.Open(f.token, o.now); err == nil {
			opened.Session.Detach(nil) // the next opening overwrites it
			claims.Session, r.Verified = opened.Session, true
			o.opened[opened.Session.ID] = append(o.opened[opened.Session.ID], r)
		}
	}
	if err != nil {
		r.fail(o, f, &claims, err)
	}
	r.claim(o, &claims)
	return r
}

// openTouch holds a touch against each session that opened, whose idle timeout then counts from it.
func (o *opener) openTouch(token string) (seen int64, err error) {
	for id, sessions := range o.opened {
		if seen, _, err = o.codec.OpenTouch(token, id, o.now); err == nil {
			for _, r := range sessions {
				r.Session.IdleAt += max(min(seen, o.now)-r.seen, 0)
				r.seen = max(r.seen, seen)
			}
			return seen, nil
		}
	}
	return 0, err
}
