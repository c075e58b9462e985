package e2e

import (
	"strings"
	"testing"
	"time"
)

// refused starts an Envoy that must not start, and returns its log.
func refused(t *testing.T, s setup) string {
	t.Helper()
	e := launch(t, s)
	select {
	case <-e.done:
	case <-time.After(patience):
		t.Fatalf("Envoy runs with that config:\n%s", e.log)
	}
	if code := e.cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	return e.log.String()
}

const oneKey = `{"keys": [{"id": "k1", "secret_env": "CURFEW_KEY"}], "login": {"url": "/login"}`

// A key that protects nothing stops Envoy, which says which and why, and never the secret.
func TestBadKeys(t *testing.T) {
	app, good := newApp(t), newKey()
	short, sample := good[:20], "replace-me-"+good
	weak := strings.Repeat(good[:4], 16)
	two := `{"keys": [{"id": "k1", "secret_env": "CURFEW_KEY"}, {"id": "k2", "secret_env": "CURFEW_NEXT"}], "login": {"url": "/login"}}`
	for _, c := range []struct {
		name   string
		env    map[string]string
		config string
		field  string
		rule   string
	}{
		{"CF-349 missing", map[string]string{"CURFEW_OTHER": good}, oneKey + `}`, "keys[0].secret_env: CURFEW_KEY", "is not set in the filter"},
		{"no environment", nil, oneKey + `}`, "keys[0].secret_env: CURFEW_KEY", "is not set in the filter"},
		{"empty", map[string]string{"CURFEW_KEY": ""}, oneKey + `}`, "keys[0].secret_env: CURFEW_KEY", "is not set in the filter"},
		{"CF-350 short", map[string]string{"CURFEW_KEY": short}, oneKey + `}`, "keys[0].secret_env", "the secret is short"},
		{"CF-354 sample", map[string]string{"CURFEW_KEY": sample}, oneKey + `}`, "keys[0].secret_env", "sample or easily guessed"},
		{"weak", map[string]string{"CURFEW_KEY": weak}, oneKey + `}`, "keys[0].secret_env", "sample or easily guessed"},
		{"same secret twice", map[string]string{"CURFEW_KEY": good, "CURFEW_NEXT": good}, two, "keys[1].secret_env", "another key has the same secret"},
		{"second missing", map[string]string{"CURFEW_KEY": good}, two, "keys[1].secret_env: CURFEW_NEXT", "is not set in the filter"},
		{"CF-352 same id", map[string]string{"CURFEW_KEY": good, "CURFEW_NEXT": newKey()}, strings.Replace(two, "k2", "k1", 1), `keys[1].id: "k1"`, "another key has this id"},
		{"secret for its name", nil, strings.Replace(oneKey, "CURFEW_KEY", good, 1) + `}`, "keys[0].secret_env: (hidden)", "must be the name of an environment variable"},
		{"inline and short", nil, strings.Replace(oneKey, `"secret_env": "CURFEW_KEY"`, `"secret": "`+short+`"`, 1) + `}`, "keys[0].secret: (hidden)", "the secret is short"},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := refused(t, setup{app: app, env: c.env, config: c.config})
			sayWhy(t, log, c.field, c.rule)
			for name, secret := range map[string]string{"good": good, "short": short, "weak": weak[:16]} {
				if strings.Contains(log, secret) {
					t.Errorf("the log shows the %s secret", name)
				}
			}
		})
	}
}

// sayWhy wants one line of the filter with field and rule in it.
func sayWhy(t *testing.T, log, field, rule string) {
	t.Helper()
	for _, line := range strings.Split(log, "\n") {
		_, message, ours := strings.Cut(line, "curfew does not start: ")
		if ours && strings.HasPrefix(message, field) && strings.Contains(message, rule) {
			return
		}
	}
	t.Errorf("the log does not say %q: %q:\n%s", field, rule, log)
}

// A config that would half work stops Envoy as well.
func TestBadConfig(t *testing.T) {
	app, env := newApp(t), map[string]string{"CURFEW_KEY": newKey()}
	for _, c := range []struct{ name, config, field, rule string }{
		{"CF-341 empty", ``, "config", "is empty"},
		{"CF-342 null", `null`, "config: (hidden)", "must be a JSON object"},
		{"CF-344 byte order mark", "\ufeff" + oneKey + `}`, "config", "is not valid JSON"},
		{"CF-345 trailing comma", oneKey + `,}`, "config", "is not valid JSON"},
		{"CF-346 duplicate", oneKey + `, "report_only": true, "report_only": false}`, "report_only: false", "stands twice"},
		{"CF-348 case", oneKey + `, "Timeouts": {}}`, "Timeouts", "unknown field"},
		{"CF-353 no keys", `{"keys": [], "login": {"url": "/login"}}`, "keys", "at least one key"},
		{"CF-356 duration", oneKey + `, "timeouts": {"idle": "-5m"}}`, `timeouts.idle: "-5m"`, "must be a duration"},
		{"CF-357 too long", oneKey + `, "timeouts": {"absolute": "9601h"}}`, `timeouts.absolute: "9601h"`, "must be from 2s to 9600h"},
		{"CF-358 __Host- and domain", oneKey + `, "cookie": {"domain": "shop.example"}}`, "cookie.domain: shop.example", "__Host- cookie cannot have a domain"},
		{"CF-361 cookie name", oneKey + `, "cookie": {"name": "a;b"}}`, "cookie.name: a;b", "characters of a token"},
		{"CF-362 header", oneKey + `, "headers": {"cookie": "subject"}}`, "headers.cookie", "belongs to no other party"},
		{"CF-364 all off", oneKey + `, "rules": [{"path_prefix": "/", "session": "off"}]}`, "rules[0].session: off", "without a session"},
		{"wrap below a path", oneKey + `, "wrap": ["sessionid"], "cookie": {"mode": "sealed", "name": "__Secure-s", "path": "/shop"}, "rules": [{"path_prefix": "/", "session": "optional"}]}`, "cookie.path: /shop", "would get no session and begin another"},
		{"anonymous below a path", oneKey + `, "anonymous": true, "cookie": {"name": "__Secure-s", "path": "/shop"}, "rules": [{"path_prefix": "/", "session": "optional"}]}`, "cookie.path: /shop", "would get no session and begin another"},
		{"wrap and domain", oneKey + `, "wrap": ["sessionid"], "cookie": {"mode": "sealed", "name": "__Secure-s", "domain": "shop.example"}}`, "wrap[0]: sessionid", "would go to every host of cookie.domain"},
		{"wrap of ours", oneKey + `, "wrap": ["sessionid", "__host_session.renewed"], "cookie": {"mode": "sealed"}}`, "wrap[1]: __host_session.renewed", "a cookie of Curfew's own"},
		{"messages elsewhere", `{"keys": [{"id": "k1", "secret_env": "CURFEW_KEY"}], "login": {"url": "https://sso.example/login", "start_on": [{"path": "/login"}]}, "django_messages": {"secret_env": "CURFEW_KEY"}}`, "django_messages", "login.url is on another"},
		{"CF-368 deep", oneKey + `, "rules": ` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}`, "config", "nests deeper than 16 levels"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sayWhy(t, refused(t, setup{app: app, env: env, config: c.config}), c.field, c.rule)
		})
	}
}

// Keys from the environment, one to sign and one to verify, are all it takes.
func TestGoodKeys(t *testing.T) {
	for name, secret := range map[string]string{"base64": newKey(), "raw": "0f9a-b4Xe.7Lq2_Zs8+mTd6/Wy3Vh5Rk1Np", "base64url": strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(newKey())} {
		t.Run(name, func(t *testing.T) {
			e := start(t, setup{app: newApp(t), env: map[string]string{"CURFEW_KEY": secret}, config: oneKey + `}`})
			c := newClient(t, e, "h2")
			c.login(`{"start":{"subject":"42"}}`)
			if r := c.page("/page"); r.StatusCode != 200 {
				t.Errorf("%d", r.StatusCode)
			}
			if strings.Contains(e.log.String(), secret) {
				t.Error("the log shows the secret")
			}
		})
	}
}
