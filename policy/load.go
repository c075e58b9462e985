package policy

import (
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"

	"github.com/curfew-proxy/curfew/cookie"
)

// maxConfig bounds the filter JSON in bytes.
const maxConfig = 1 << 20

// maxRules bounds the rules, which a request may have to go through one by one.
const maxRules = 1000

// Defaults of the config, in seconds.
const (
	defaultIdle             = 15 * 60
	defaultAbsolute         = 12 * 3600
	defaultTouch            = 60
	defaultRotate           = 3600
	defaultSkew             = 60
	defaultRememberIdle     = 336 * 3600
	defaultRememberAbsolute = 720 * 3600
	maxSkew                 = 3600
	defaultWarn             = 60
	leastWarn               = 20 // to extend with one simple action (WCAG 2.2.1)
)

// Parse reads and checks the filter JSON; env looks up an environment variable ("" where it is not
// set). It is a pure function of the two. The error is a *ConfigError.
func Parse(text string, env func(string) string) (*Config, error) {
	p := &parser{}
	switch {
	case len(text) > maxConfig:
		p.fail("config", "", "is over 1 MiB; rules with path_prefix instead of path say more in less")
	case trim(text) == "":
		p.fail("config", "", "is empty; the least is {\"keys\": [...], \"login\": {\"url\": \"/login\"}}")
	case !shallow(text):
		p.fail("config", "", "nests deeper than 16 levels; no field needs more than 5")
	case !gjson.Valid(text) || !utf8.ValidString(text):
		p.fail("config", "", "is not valid JSON (RFC 8259): look for trailing commas, comments, a byte order mark or text after the end")
	}
	if p.err != nil {
		return nil, p.err
	}
	c := p.config(gjson.Parse(text), env)
	if p.err == nil {
		p.check(c)
	}
	if p.err != nil {
		return nil, p.err
	}
	if err := c.compile(); err != nil {
		return nil, &ConfigError{Field: "keys", Rule: "cannot be made ready"}
	}
	return c, nil
}

func (p *parser) config(v gjson.Result, env func(string) string) *Config {
	if !v.IsObject() {
		p.fail("config", shown("config", v), "must be a JSON object")
		return nil
	}
	root := p.object("", v, "cookie", "keys", "audience", "timeouts", "remember", "login", "logout", "rules",
		"headers", "wrap", "anonymous", "browser", "streams", "revoke", "django_messages", "log_subject", "report_only", "bypass_cors_preflight", "allow_insecure")
	c := &Config{
		AllowInsecure:   root.flag("allow_insecure", false),
		ReportOnly:      root.flag("report_only", false),
		LogSubject:      root.flag("log_subject", false),
		Anonymous:       root.flag("anonymous", false),
		BypassPreflight: root.flag("bypass_cors_preflight", true),
		Audience:        root.text("audience", ""),
		Keys:            p.keys(root, env),
	}
	if !validAudience(c.Audience) {
		root.fail("audience", "must be at most 128 printable ASCII characters")
	}
	c.Cookie = cookieConfig(root.child("cookie", "name", "mode", "path", "domain", "same_site", "secure", "partitioned"))
	c.Timeouts = timeouts(root.child("timeouts", "idle", "absolute", "touch", "rotate", "clock_skew"))
	remember := root.child("remember", "idle", "absolute")
	c.Remember = limits(remember, defaultRememberIdle, defaultRememberAbsolute)
	c.Wrap = root.texts("wrap", validWrap, "must be the name of a cookie of the app's own, such as sessionid: a token of at most 64 characters")
	if len(c.Wrap) > 0 && !remember.there {
		// Many apps make every cookie persistent without a thought. Only an operator who names longer
		// timeouts means them.
		c.Remember = c.Timeouts.Limits
	}
	c.django = p.django(root.child("django_messages", "secret_env", "secret", "text"), env)
	c.Login = login(root.child("login", "url", "return_param", "reason_param", "start_on"))
	c.Logout = logout(root.child("logout", "path", "redirect", "methods"))
	c.Rules = p.rules(root)
	c.HeaderMap = headerMap(root)
	c.Browser = browserConfig(root.child("browser", "path", "subject", "warn", "refresh", "headers"), c.Cookie.Path)
	c.Streams = streams(root.child("streams", "idle", "activity"))
	c.Revoke = p.revoke(root.child("revoke", "before", "subjects", "feed"), env)
	return c
}

func cookieConfig(o *object) Cookie {
	return Cookie{
		Name:   o.text("name", "__Host-session"),
		Sealed: o.choice("mode", "signed", "sealed") == "sealed",
		Attributes: cookie.Attributes{
			Path: o.text("path", "/"), Domain: o.text("domain", ""),
			SameSite: o.choice("same_site", "Lax", "Strict", "None"),
			Secure:   o.flag("secure", true), Partitioned: o.flag("partitioned", false),
		},
	}
}

func limits(o *object, idle, absolute int64) Limits {
	return Limits{
		Idle:     o.seconds("idle", idle, 2, cookie.MaxOverride),
		Absolute: o.seconds("absolute", absolute, 2, cookie.MaxOverride),
	}
}

func timeouts(o *object) Timeouts {
	return Timeouts{
		Limits: limits(o, defaultIdle, defaultAbsolute),
		Touch:  o.seconds("touch", defaultTouch, 1, cookie.MaxOverride),
		Rotate: o.seconds("rotate", defaultRotate, 1, cookie.MaxOverride),
		Skew:   o.seconds("clock_skew", defaultSkew, 0, maxSkew),
	}
}

func login(o *object) LoginRoutes {
	l := LoginRoutes{
		URL:         o.text("url", ""),
		ReturnParam: o.text("return_param", "next"),
		ReasonParam: o.text("reason_param", "reason"),
	}
	o.list("start_on", func(path string, v gjson.Result) {
		on := o.p.object(path, v, "method", "path")
		route := Route{Method: on.text("method", "POST"), Path: on.text("path", "")}
		if !validPlain(route.Path) {
			on.fail("path", "must be a plain path such as /login, without a query")
		}
		if !validMethod(route.Method) {
			on.fail("method", "must be a method in capitals such as POST")
		}
		l.StartOn = append(l.StartOn, route)
	})
	return l
}

func logout(o *object) LogoutRoute {
	l := LogoutRoute{
		Path:     o.text("path", "/logout"),
		Redirect: o.text("redirect", "/"),
		Methods:  o.texts("methods", validMethod, "must be a method in capitals such as POST"),
	}
	if l.Methods == nil {
		l.Methods = []string{"POST"}
	}
	if !validPlain(l.Path) || l.Path == "/" {
		o.fail("path", "must be a plain path such as /logout, without a query")
	}
	return l
}

func browserConfig(o *object, cookiePath string) Browser {
	b := Browser{
		Path:    strings.TrimSuffix(cookiePath, "/") + "/.session/",
		Subject: o.flag("subject", false), Refresh: o.flag("refresh", false), Headers: o.flag("headers", false),
		Warn: o.seconds("warn", defaultWarn, leastWarn, cookie.MaxOverride),
	}
	if o.has("path") {
		b.Path = o.text("path", "")
	}
	if o.has("path") && !validFolder(b.Path) {
		o.fail("path", "must be a plain path below / that begins and ends with a slash")
	}
	return b
}

func streams(o *object) Streams {
	s := Streams{IgnoreIdle: o.choice("idle", "close", "ignore") == "ignore", Activity: o.flag("activity", false)}
	if s.IgnoreIdle && s.Activity {
		o.fail("activity", "does nothing where streams.idle is ignore; leave either out")
	}
	return s
}

func (p *parser) rules(root *object) (rules []Rule) {
	root.list("rules", func(path string, v gjson.Result) {
		if len(rules) == maxRules {
			root.p.fail("rules", "", "has more than 1,000; every request may be held against each")
			return
		}
		o := p.object(path, v, "path", "path_prefix", "hosts", "methods", "session", "activity", "idle", "absolute",
			"max_auth_age", "when", "require")
		if o.has("path") == o.has("path_prefix") {
			o.fail("", "a rule needs path (exact) or path_prefix (whole segments), and not both")
		}
		u := Rule{
			Path: o.text("path", ""), PathPrefix: o.text("path_prefix", ""),
			Hosts:      o.texts("hosts", validHost, "must be a host name in lower case, without port or wildcard"),
			Methods:    o.texts("methods", validMethod, "must be a method in capitals such as GET"),
			Need:       need(o.choice("session", "required", "optional", "off")),
			Passive:    o.choice("activity", "active", "passive") == "passive",
			Idle:       o.seconds("idle", 0, 2, cookie.MaxOverride),
			Absolute:   o.seconds("absolute", 0, 2, cookie.MaxOverride),
			MaxAuthAge: o.seconds("max_auth_age", 0, 1, cookie.MaxOverride),
			When:       conditions(o.child("when")),
			Require:    conditions(o.child("require")),
		}
		for _, name := range [...]string{"path", "path_prefix"} {
			if o.has(name) && !validPlain(o.text(name, "")) {
				o.fail(name, "must be a plain path such as /admin: begins with /, only ASCII, no // or dot segment, no ? * ; # \\, nothing escaped but a space or bytes beyond ASCII, with capital digits")
			}
		}
		rules = append(rules, u)
	})
	return rules
}

// String is the word for it in the config.
func (n Need) String() string { return [...]string{"required", "optional", "off"}[n] }

func need(s string) Need {
	switch s {
	case "optional":
		return SessionOptional
	case "off":
		return SessionOff
	}
	return SessionRequired
}

// conditions reads `when` and `require`: a path below data, and the scalars it may be.
func conditions(o *object) (out []Condition) {
	if o.p.err == nil && o.there && len(o.names) == 0 {
		o.fail("", "asks for nothing; name a path such as data.role, or leave it out")
	}
	for _, name := range o.names {
		below, ok := strings.CutPrefix(name, "data.")
		if !ok || !validPath(below) {
			o.fail(name, "must be a path into the session's data such as data.role: words of A-Z a-z 0-9 _ - joined by dots")
		}
		cond := Condition{Path: below}
		o.list(name, func(path string, v gjson.Result) {
			if v.Type == gjson.JSON || v.Type == gjson.Null {
				o.p.fail(path, shown(path, v), "must be a string, a number, true or false")
			}
			cond.Values = append(cond.Values, v.Raw)
		})
		if len(cond.Values) == 0 {
			o.fail(name, "must be a list with at least one value")
		}
		out = append(out, cond)
	}
	return out
}

func headerMap(root *object) []Header {
	if !root.has("headers") {
		return []Header{{Name: "x-session-subject", Path: "subject"}}
	}
	var out []Header
	o := root.child("headers")
	for _, name := range o.names {
		h := Header{Name: name, Path: o.text(name, "")}
		if !validHeaderName(name) {
			o.fail(name, "must be a header name in lower case that belongs to no other party (not host, cookie, connection, ...)")
		}
		if !validDocumentPath(h.Path) {
			o.fail(name, "must be a path in the session document: @this, subject, data, data.NAME, id, started_at, authenticated_at, touched_at, idle_in, expires_in, remember, refreshed, revision or reason")
		}
		for _, other := range out {
			if foldHeader(other.Name) == foldHeader(name) {
				o.fail(name, "another header has the same name but for - and _; keep one")
			}
		}
		out = append(out, h)
	}
	return out
}
