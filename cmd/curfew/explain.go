package main

import (
	"cmp"
	"crypto/rand"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/curfew-proxy/curfew/policy"
)

var explain = command{
	name: "explain", args: "-config FILE [-at TIME] [-feed FILE] [-json] [REQUEST]",
	does: "say step by step what becomes of a request, and why",
	about: "REQUEST is a file with a curl command as browsers copy one (\"Copy as cURL\", for bash); without it, standard input: cookies are credentials, and do not belong on a command line. " +
		"The config is any file that lint reads, with one Curfew config in it. Its keys come from the environment variables that it names; a request without cookies of Curfew's needs none.\n" +
		"Nothing is sent anywhere. What a running proxy knows beside its config is not known here: sessions that were ended there, and the revocation feed, whose answer -feed takes.",
	examples: []example{
		{"what a page load without a session gets", "echo \"curl 'https://shop.example/account' -H 'accept: text/html'\" | curfew explain -config envoy.yaml"},
		{"a copied request at the time of the complaint", "curfew explain -config envoy.yaml -at 2026-11-20T08:20:00Z request.txt"},
	},
	flags: func(set *flag.FlagSet) func(*terminal, []string) error {
		x := &explainer{}
		set.StringVar(&x.config, "config", "", "`FILE` with the filter's config, - for standard input")
		set.StringVar(&x.feed, "feed", "", "`FILE` with what revoke.feed answers")
		set.BoolVar(&x.json, "json", false, "print JSON")
		timeFlag(set, &x.at, "at", "when the request comes, a `TIME` such as 2026-11-20T08:00:00Z (RFC 3339); by default now")
		return x.run
	},
}

// explainer is what explain is asked for.
type explainer struct {
	config, feed string
	json         bool
	at           time.Time
}

// explained is what explain found; its JSON is what -json prints.
type explained struct {
	Method string   `json:"method"`
	URL    string   `json:"url"`
	At     int64    `json:"at"`
	Notes  []string `json:"notes"`
	Steps  []step   `json:"steps"`
	Rule   string   `json:"rule"`
	Reason string   `json:"reason"`
	Answer *answer  `json:"answer,omitempty"`
	App    *seen    `json:"app,omitempty"`
}

type step struct {
	Topic string `json:"topic"`
	Found string `json:"found"`
	Why   string `json:"why"`
	From  int64  `json:"from,omitempty"`
	Ends  int64  `json:"ends,omitempty"`
	Text  string `json:"text,omitempty"` // of a rule, as the config has it
}

// answer is what the client gets in the app's place.
type answer struct {
	Status  uint32      `json:"status"`
	GRPC    int32       `json:"grpc_status"` // -1: none
	Headers [][2]string `json:"headers"`
	Body    string      `json:"body"`
}

// seen is what the app gets: headers that are set, the names of those that are taken out, the names of cookies.
type seen struct {
	Set     [][2]string `json:"set"`
	Removed []string    `json:"removed"`
	Cookies []string    `json:"cookies"`
}

func (x *explainer) run(t *terminal, args []string) error {
	request := "-"
	switch {
	case x.config == "":
		return t.misused("explain: which config? Give -config FILE")
	case len(args) > 1:
		return t.misused("explain: takes one request; give the file with the curl command, or none for standard input")
	case len(args) == 1:
		request = args[0]
	}
	if request == "-" && x.config == "-" {
		return t.misused("explain: config and request cannot both come from standard input; put either into a file")
	}
	text, err := readInput(t, request)
	if err != nil {
		return err
	}
	curl, err := parseCurl(string(text))
	if err != nil {
		return err
	}
	config, c, err := x.readConfig(t, curl)
	if err != nil {
		return err
	}
	heard, err := x.heard(t, c)
	if err != nil {
		return err
	}
	found := x.explain(c, config, curl, heard, cmp.Or(x.at, t.now()).Unix())
	if x.json {
		return writeJSON(t.out, found)
	}
	found.print(t)
	return nil
}

// readConfig reads the config; its keys are wanted only where there is something to open.
func (x *explainer) readConfig(t *terminal, curl *httpRequest) (text string, c *policy.Config, err error) {
	b, err := readInput(t, x.config)
	if err != nil {
		return "", nil, err
	}
	if text, err = findConfig(x.config, b); err != nil {
		return "", nil, err
	}
	if c, err = policy.Parse(text, madeUp()); err == nil {
		r, _ := curl.asPolicy(c)
		if len(r.Jar.Sessions)+len(r.Jar.Renewed) == 0 {
			return text, c, nil
		}
		c, err = policy.Parse(text, t.keysEnv(text))
	}
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", x.config, t.inShell(err))
	}
	return text, c, nil
}

// heard is what the proxy would have heard of the feed: nothing bad, just now, unless a file says more.
func (x *explainer) heard(t *terminal, c *policy.Config) (*policy.Heard, error) {
	h := &policy.Heard{FeedAt: cmp.Or(x.at, t.now()).Unix()}
	if x.feed == "" {
		return h, nil
	}
	if c.Revoke.Feed.Cluster == "" {
		return nil, fmt.Errorf("%s has no revoke.feed, so no proxy with it would hear %s; leave -feed out, or add the feed", x.config, x.feed)
	}
	text, err := readInput(t, x.feed)
	if err != nil {
		return nil, err
	}
	r, fault := policy.ParseRevocations(string(text))
	if fault != nil {
		return nil, fmt.Errorf("%s: %w; a proxy would go on with the answer before it", x.feed, fault)
	}
	h.Feed = r
	return h, nil
}

func (x *explainer) explain(c *policy.Config, config string, curl *httpRequest, heard *policy.Heard, now int64) *explained {
	r, hostile := curl.asPolicy(c)
	r.Heard = heard
	e := c.Explain(r, now)
	out := &explained{Method: r.Method, URL: r.Scheme + "://" + r.Authority + r.Path, At: now, Notes: append([]string{}, curl.notes...), Rule: e.Rule, Reason: e.Decision.Reason.String()}
	if c.Revoke.Feed.Cluster != "" && x.feed == "" {
		out.Notes = append(out.Notes, "revoke.feed is taken for empty; -feed FILE takes what it answers")
	}
	for _, s := range e.Steps {
		rule := ""
		if index, ok := strings.CutPrefix(s.Topic, "rules["); ok {
			rule = gjson.Get(config, "rules."+strings.TrimSuffix(index, "]")).Raw
		}
		out.Steps = append(out.Steps, step{s.Topic, s.Found, s.Why, s.From, s.Ends, strings.Join(strings.Fields(rule), " ")})
	}
	if d := &e.Decision; d.Verdict == policy.Pass {
		out.App = passed(c, r, d, hostile, now)
	} else {
		out.Answer = ownReply(c, r, d, now)
	}
	return out
}

// ownReply is the reply of the filter's own, with the tokens in it cut short.
func ownReply(c *policy.Config, r *policy.Request, d *policy.Decision, now int64) *answer {
	var a policy.Answer
	if d.Verdict == policy.Serve {
		a, _ = c.Serve(r, d, now, func(b []byte) error { rand.Read(b); return nil })
	} else {
		a = c.Answer(r, d, now)
	}
	out := &answer{Status: a.Status, GRPC: a.GRPC, Headers: [][2]string{}, Body: string(a.Body)}
	for _, h := range a.Headers {
		if h[0] == "set-cookie" && c.SetsOurs(h[1]) {
			h[1] = shortened(h[1])
		}
		out.Headers = append(out.Headers, h)
	}
	return out
}

// shortened leaves of a Set-Cookie's token what names its kind and key.
func shortened(setCookie string) string {
	name, rest, _ := strings.Cut(setCookie, "=")
	value, attributes, _ := strings.Cut(rest, ";")
	if dot := strings.LastIndexByte(value, '.'); dot >= 0 {
		value = value[:dot+1] + "..."
	}
	return name + "=" + value + ";" + attributes
}

// passed is what becomes of the request on its way to the app, as the filter does it.
func passed(c *policy.Config, r *policy.Request, d *policy.Decision, hostile []string, now int64) *seen {
	out := &seen{Set: [][2]string{}, Removed: append([]string{}, hostile...), Cookies: []string{}}
	c.Restore(r, d, now)
	set := func(name, value string) { out.Set = append(out.Set, [2]string{name, value}) }
	c.Headers(d, now, set)
	for _, line := range r.Jar.Lines {
		for _, pair := range strings.Split(line, ";") {
			if name, _, _ := strings.Cut(strings.TrimSpace(pair), "="); name != "" {
				out.Cookies = append(out.Cookies, name)
			}
		}
	}
	return out
}

// print writes it for people.
func (e *explained) print(t *terminal) {
	fmt.Fprintf(t.out, "%s %s\nat %s\n\n", e.Method, printable(e.URL), at(e.At))
	for _, note := range e.Notes {
		fmt.Fprintf(t.out, "%s %s\n", t.paint(yellow, "note:"), printable(note))
	}
	wide := 0
	for _, s := range e.Steps {
		wide = max(wide, len(s.Topic))
	}
	for _, s := range e.Steps {
		line := t.paint(bold, s.Found)
		for _, more := range []string{s.Why, s.times(e.At)} {
			if more != "" {
				line += ": " + printable(more)
			}
		}
		fmt.Fprintf(t.out, "%-*s  %s\n", wide, s.Topic, line)
		if s.Text != "" {
			fmt.Fprintf(t.out, "%-*s    %s\n", wide, "", printable(s.Text))
		}
	}
	fmt.Fprintln(t.out)
	if e.Answer != nil {
		e.Answer.print(t)
	} else {
		e.App.print(t)
	}
}

// times are those of a step: "from 12:03:10, 15m, ends 12:18:10, 4m left".
func (s *step) times(now int64) string {
	switch {
	case s.From != 0 && s.Ends != 0 && s.Ends > now:
		return fmt.Sprintf("from %s, %s, ends %s, %s left", clock(s.From, now), span(s.Ends-s.From), clock(s.Ends, now), span(s.Ends-now))
	case s.From != 0 && s.Ends != 0:
		return fmt.Sprintf("from %s, %s, ended %s, %s", clock(s.From, now), span(s.Ends-s.From), clock(s.Ends, now), relative(s.Ends, now))
	case s.From != 0:
		return clock(s.From, now) + ", " + relative(s.From, now)
	case s.Ends != 0:
		return clock(s.Ends, now) + ", " + relative(s.Ends, now)
	}
	return ""
}

// clock is a time without its day, where that is today's.
func clock(unix, now int64) string {
	full, today := at(unix), at(now)
	if day := len("2026-11-20T"); len(full) > day && len(today) > day && full[:day] == today[:day] {
		return strings.TrimSuffix(full[day:], "Z")
	}
	return full
}

func (a *answer) print(t *terminal) {
	fmt.Fprintf(t.out, "The client gets %s\n", t.paint(bold, fmt.Sprint(a.Status)))
	if a.GRPC >= 0 {
		fmt.Fprintf(t.out, "  as grpc-status %d, in HTTP 200: Envoy makes that of it\n", a.GRPC)
	}
	for _, h := range a.Headers {
		fmt.Fprintf(t.out, "  %s: %s\n", h[0], printable(h[1]))
	}
	switch {
	case len(a.Body) > 2000:
		fmt.Fprintf(t.out, "\n  (a body of %d bytes)\n", len(a.Body))
	case a.Body != "":
		fmt.Fprintf(t.out, "\n  %s\n", printable(a.Body))
	}
}

func (s *seen) print(t *terminal) {
	fmt.Fprintln(t.out, "The app gets the request")
	for _, name := range s.Removed {
		fmt.Fprintf(t.out, "  without %s, which no client may send\n", printable(name))
	}
	for _, h := range s.Set {
		fmt.Fprintf(t.out, "  %s: %s\n", h[0], printable(h[1]))
	}
	if len(s.Cookies) > 0 {
		fmt.Fprintf(t.out, "  with the cookies %s\n", printable(strings.Join(s.Cookies, ", ")))
	}
}
