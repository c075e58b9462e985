package policy

import (
	_ "embed"

	"github.com/curfew-proxy/curfew/cookie"
)

// Schema is the JSON Schema (draft 2020-12) of the filter JSON, for editors and linters.
//
//go:embed config.schema.json
var Schema string

// Config is a checked and compiled filter JSON. Durations are seconds, times Unix seconds. Make one
// with Parse.
type Config struct {
	Cookie          Cookie
	Audience        string
	Keys            []cookie.Key
	Timeouts        Timeouts
	Remember        Limits
	Login           LoginRoutes
	Logout          LogoutRoute
	Rules           []Rule
	HeaderMap       []Header
	Wrap            []string // names of the app's own cookies
	Anonymous       bool
	LogSubject      bool
	Browser         Browser
	Streams         Streams
	Revoke          Revoke
	ReportOnly      bool
	BypassPreflight bool
	AllowInsecure   bool

	codec      *cookie.Codec
	attributes cookie.Attributes
	django     *django
	scriptTag  string // which version of the script this is
	byHost     bool   // some rule names hosts
	fallback   Rule   // where no rule matches: required, active
	strictest  Rule   // for paths that may become others: all that any rule asks
	open       Rule   // for the login routes: optional
}

// Cookie is the config's `cookie`.
type Cookie struct {
	Name   string
	Sealed bool
	cookie.Attributes
}

// Limits are the two timeouts of a session (OWASP Session Management Cheat Sheet).
type Limits struct{ Idle, Absolute int64 }

// Timeouts is the config's `timeouts`.
type Timeouts struct {
	Limits
	Touch  int64 // how finely activity is recorded
	Rotate int64 // how old a session cookie gets before it is written again
	Skew   int64 // how far apart proxies' clocks may be
}

// LoginRoutes is the config's `login`.
type LoginRoutes struct {
	URL, ReturnParam, ReasonParam string
	StartOn                       []Route
	host, path                    string // of URL; host is empty for this very site
}

// Route is a method and an exact path.
type Route struct{ Method, Path string }

// LogoutRoute is the config's `logout`.
type LogoutRoute struct {
	Path, Redirect string
	Methods        []string
}

// NewJar returns an empty jar for this config's cookies.
func (c *Config) NewJar() *cookie.Jar { return cookie.NewJar(c.Cookie.Name, c.Wrap...) }

// compile makes what Decide needs of a checked config.
func (c *Config) compile() error {
	opt := cookie.Options{Name: c.Cookie.Name, Audience: c.Audience, Sealed: c.Cookie.Sealed, Skew: c.Timeouts.Skew}
	codec, err := cookie.NewCodec(opt, c.Keys)
	if err != nil {
		return err
	}
	c.codec = codec
	c.attributes = c.Cookie.Attributes
	c.scriptTag = scriptTag()
	// Passive, or being sent to the login page for being idle on one path would count as activity.
	c.open = Rule{Need: SessionOptional, Passive: true}
	for i := range c.Rules {
		c.strictest = stricter(&c.strictest, &c.Rules[i])
		c.byHost = c.byHost || len(c.Rules[i].Hosts) > 0
	}
	c.strictest.Passive = false
	return nil
}
