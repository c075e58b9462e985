package policy

import (
	"strconv"
	"strings"

	"github.com/curfew-proxy/curfew/cookie"
)

// check looks at what fields mean together. Whatever would half work, loop or protect nothing is
// refused before the first request.
func (p *parser) check(c *Config) {
	p.checkCookie(c)
	p.checkBrowser(c)
	p.checkWrap(c)
	p.checkTimeouts(c)
	p.checkLogin(c)
	p.checkLogout(c)
	for i := range c.Rules {
		p.checkRule(c, i)
		p.checkCovered(c, i)
	}
	p.checkReach(c)
}

func (p *parser) checkCookie(c *Config) {
	k := &c.Cookie
	name := lower(k.Name)
	host, secure := strings.HasPrefix(name, "__host-"), strings.HasPrefix(name, "__secure-")
	prefixed := strings.HasPrefix(k.Name, "__Host-") || strings.HasPrefix(k.Name, "__Secure-")
	fail := func(field, value, rule string) { p.fail("cookie."+field, value, rule) }
	switch {
	case !validToken(k.Name) || len(k.Name) > 64:
		fail("name", k.Name, "must be 1 to 64 characters of a token (RFC 6265bis, section 4.1.1): no space, semicolon, comma or equals sign")
	case (host || secure) && !prefixed:
		fail("name", k.Name, "a prefix is written __Host- or __Secure-; browsers take other spellings for it but not for its promise")
	case !validCookiePath(k.Path):
		fail("path", k.Path, "must be a plain path such as /shop: begins with a slash, at most 256 characters, no comma")
	case k.Domain != "" && !validHost(k.Domain):
		fail("domain", k.Domain, "must be a host name in lower case, without a leading dot")
	case host && k.Domain != "":
		fail("domain", k.Domain, "a __Host- cookie cannot have a domain; name it __Secure-... or leave the domain out")
	case host && k.Path != "/":
		fail("path", k.Path, "a __Host- cookie has the path /; name it __Secure-... or leave the path out")
	case prefixed && !k.Secure:
		fail("secure", "false", "a cookie with a prefix is secure; name it without one, and set allow_insecure, for plain http")
	case k.SameSite == "None" && !k.Secure:
		fail("same_site", "None", "browsers drop SameSite=None without Secure; set cookie.secure to true, or same_site to Lax")
	case k.Partitioned && !k.Secure:
		fail("partitioned", "true", "browsers drop Partitioned without Secure; set cookie.secure to true")
	case !k.Secure && !c.AllowInsecure:
		fail("secure", "false", "sends the session over plain http; set allow_insecure to true (top level) if that is meant")
	case !prefixed && !c.AllowInsecure:
		fail("name", k.Name, "without __Host- or __Secure- a sibling host can plant the cookie; set allow_insecure to true (top level) if that is meant")
	}
}

func (p *parser) checkWrap(c *Config) {
	if (len(c.Wrap) > 0 || c.Anonymous) && c.Cookie.Path != "/" {
		p.fail("cookie.path", c.Cookie.Path, "a path outside it would get no session and begin another in its place; leave the path out, or wrap and anonymous")
	}
	if len(c.Wrap) > cookie.MaxWrapped {
		p.fail("wrap", "", "names more cookies than the 16 that a session holds; name the app's session cookie")
	}
	for i, name := range c.Wrap {
		fail := func(rule string) { p.fail("wrap["+strconv.Itoa(i)+"]", name, rule) }
		switch {
		case !c.Cookie.Sealed:
			fail("would let the browser read the app's cookie; set cookie.mode to sealed")
		case c.Cookie.Domain != "":
			fail("would go to every host of cookie.domain, whichever app set it; leave the domain out")
		case name[0] == '$':
			fail("is no name that servers read; they take $ for an attribute")
		case c.ReportOnly:
			fail("takes the app's cookies from the browser, which report_only promises not to; leave either out")
		case anyAlike(name, c.Cookie.Name, c.Cookie.Name+cookie.TouchSuffix, c.Cookie.Name+cookie.RenewedSuffix):
			fail("is a cookie of Curfew's own, or some server takes it for one; name one of the app's")
		case c.django != nil && cookie.Alike(name, cookie.DjangoMessages):
			fail("is the cookie that django_messages sets; leave either out")
		case anyAlike(name, c.Wrap[:i]...):
			fail("stands twice, or some server takes it for one before it; keep one")
		}
	}
}

func anyAlike(name string, others ...string) bool {
	for _, other := range others {
		if cookie.Alike(name, other) {
			return true
		}
	}
	return false
}

func (p *parser) checkBrowser(c *Config) {
	if c.Cookie.Path != "" && !underPrefix(c.Browser.Path, c.Cookie.Path) {
		p.fail("browser.path", c.Browser.Path, "lies outside cookie.path ("+c.Cookie.Path+"), so no session would ever come there; put it below that")
	}
}

func (p *parser) checkTimeouts(c *Config) {
	p.checkIdle("timeouts.idle", c.Timeouts.Idle, c)
	p.checkIdle("remember.idle", c.Remember.Idle, c)
	for _, l := range [...]struct {
		name string
		Limits
	}{{"timeouts", c.Timeouts.Limits}, {"remember", c.Remember}} {
		if l.Idle > l.Absolute {
			p.fail(l.name+".idle", seconds(l.Idle), "is longer than "+l.name+".absolute ("+seconds(l.Absolute)+") and would never end a session; shorten it or lengthen that")
		}
	}
	for i := range c.Rules {
		if idle := c.Rules[i].Idle; idle > 0 {
			p.checkIdle(ruleField(i, "idle"), idle, c)
		}
	}
}

// checkIdle: activity is recorded in steps of touch, so a shorter idle timeout would end sessions of
// active people.
func (p *parser) checkIdle(field string, idle int64, c *Config) {
	if idle < 2*c.Timeouts.Touch {
		p.fail(field, seconds(idle), "must be at least twice timeouts.touch ("+seconds(c.Timeouts.Touch)+"), by which activity is recorded; lengthen it or shorten touch")
	}
}

func (p *parser) checkLogin(c *Config) {
	l := &c.Login
	if l.URL == "" {
		p.fail("login.url", "", "is needed: where people log in, such as /login")
		return
	}
	host, path, ok := parseTarget(l.URL, c.AllowInsecure)
	if !ok {
		p.fail("login.url", l.URL, "must be a plain path such as /login or an https URL, without a fragment")
		return
	}
	l.host, l.path = host, path
	if len(l.StartOn) == 0 {
		if host != "" {
			p.fail("login.start_on", "", "is needed when login.url is on another host: which requests may start a session, such as [{\"method\": \"POST\", \"path\": \"/login\"}]")
		}
		l.StartOn = []Route{{Method: "POST", Path: path}}
	}
	for _, param := range [...][2]string{{"return_param", l.ReturnParam}, {"reason_param", l.ReasonParam}} {
		if !validParam(param[1]) {
			p.fail("login."+param[0], param[1], "must be 1 to 64 characters: words of A-Z a-z 0-9 _ - joined by dots")
		}
	}
	if l.ReturnParam == l.ReasonParam {
		p.fail("login.reason_param", l.ReasonParam, "must differ from login.return_param; rename one")
	}
	if host != "" && c.django != nil {
		p.fail("django_messages", "", "would speak on this host, and login.url is on another; leave it out")
	}
	if underPrefix(path, c.Browser.Path) {
		p.fail("login.url", l.URL, "lies below browser.path, which the filter keeps for itself; move either")
	}
}

func (p *parser) checkLogout(c *Config) {
	o := &c.Logout
	host, path, ok := parseTarget(o.Redirect, c.AllowInsecure)
	switch {
	case !ok:
		p.fail("logout.redirect", o.Redirect, "must be a plain path such as / or an https URL, without a fragment")
	case host == "" && path == o.Path:
		p.fail("logout.redirect", o.Redirect, "is logout.path itself: a loop; name another page, such as /")
	case o.Path == c.Login.path:
		p.fail("logout.path", o.Path, "is the path of login.url: nobody could log in; give logout a path of its own")
	case underPrefix(o.Path, c.Browser.Path):
		p.fail("logout.path", o.Path, "lies below browser.path, which the filter keeps for itself; move either")
	}
	for i, on := range c.Login.StartOn {
		field := "login.start_on[" + strconv.Itoa(i) + "].path"
		if underPrefix(on.Path, c.Browser.Path) {
			p.fail(field, on.Path, "lies below browser.path, which the filter keeps for itself; move either")
		}
		if on.Path == o.Path {
			p.fail(field, on.Path, "is logout.path, which never reaches the app; give it another path")
		}
	}
}

func (p *parser) checkRule(c *Config, i int) {
	u := &c.Rules[i]
	fail := func(field, value, rule string) { p.fail(ruleField(i, field), value, rule) }
	switch {
	case u.Need == SessionOff && u.PathPrefix == "/" && len(u.Hosts) == 0 && len(u.Methods) == 0:
		fail("session", "off", "would leave every path without a session; take the filter out instead, or name paths, hosts or methods")
	case u.Need == SessionOff && (u.Passive || u.Idle|u.Absolute|u.MaxAuthAge != 0):
		fail("session", "off", "opens no session, so activity, idle, absolute and max_auth_age mean nothing; leave them out")
	case u.Need != SessionRequired && len(u.When) > 0:
		fail("session", u.Need.String(), "must be required where the rule has a when: what session data says must never make access laxer")
	case u.Need != SessionRequired && (len(u.Require) > 0 || u.MaxAuthAge > 0):
		fail("session", u.Need.String(), "must be required where the rule has require or max_auth_age")
	case u.Need == SessionRequired && u.Path != "" && u.Path == c.Login.path && c.Login.host == "":
		fail("path", u.Path, "is the login page, which must be open to people without a session: a loop; set session to optional")
	}
}

// checkCovered: the first rule that matches counts, so one behind a rule for all of its requests never
// does. Whoever wrote it believes that it protects something.
func (p *parser) checkCovered(c *Config, i int) {
	for j := range c.Rules[:i] {
		if c.Rules[j].covers(&c.Rules[i]) {
			p.fail(ruleField(i, "path_prefix"), c.Rules[i].Path+c.Rules[i].PathPrefix, "never counts: rules["+strconv.Itoa(j)+"] stands before it and matches all of its requests; put the narrower rule first")
		}
	}
}

// checkReach: a browser sends the cookie below cookie.path only, so a path elsewhere that requires a
// session would ask for logins for ever.
func (p *parser) checkReach(c *Config) {
	if c.Cookie.Path == "/" || p.err != nil {
		return
	}
	root, _ := c.rule(&Request{Method: "GET"}, "/")
	if root.Need == SessionRequired {
		p.fail("cookie.path", c.Cookie.Path, "paths outside it require a session but never get the cookie: a loop; add a last rule for path_prefix / with session: optional")
	}
}

func ruleField(i int, name string) string { return "rules[" + strconv.Itoa(i) + "]." + name }

func seconds(n int64) string { return strconv.FormatInt(n, 10) + "s" }
