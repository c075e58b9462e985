package policy

import (
	"encoding/base64"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/curfew-proxy/curfew/cookie"
)

// keys reads `keys`. env looks an environment variable up; "" is not set.
func (p *parser) keys(root *object, env func(string) string) (keys []cookie.Key) {
	root.list("keys", func(path string, v gjson.Result) {
		o := p.object(path, v, "id", "secret_env", "secret", "sign_from", "verify_until")
		k := cookie.Key{ID: o.text("id", ""), SignFrom: o.time("sign_from"), VerifyUntil: o.time("verify_until")}
		if !cookie.ValidKeyID(k.ID) {
			o.fail("id", "must be a string of 1 to 16 of A-Z a-z 0-9 _ -")
		}
		if k.VerifyUntil != 0 && k.VerifyUntil <= k.SignFrom {
			o.fail("verify_until", "must be later than sign_from; put it off, or leave it out for no end")
		}
		k.Secret = o.secret(env)
		for _, other := range keys {
			switch {
			case other.ID == k.ID:
				o.fail("id", "another key has this id; give each its own, such as the month it begins to sign")
			case CounterName(other.ID) == CounterName(k.ID):
				o.fail("id", "another key's id differs in - and _ only, which counters cannot tell apart; rename one")
			}
			if string(other.Secret) == string(k.Secret) {
				o.fail(o.secretField(), "another key has the same secret, so changing keys would change nothing; make one with `openssl rand -base64 32`")
			}
		}
		keys = append(keys, k)
	})
	if len(keys) == 0 {
		root.fail("keys", "must be a list with at least one key, such as {\"id\": \"2026-11\", \"secret_env\": \"CURFEW_KEY\"}")
	}
	return keys
}

// CounterName is a key's id as names of metrics can have it.
func CounterName(id string) string { return strings.ReplaceAll(id, "-", "_") }

// secretText reads one of secret_env and secret; "" where an error was noted. No error repeats any of it.
func (o *object) secretText(env func(string) string) string {
	if o.has("secret_env") == o.has("secret") {
		o.p.fail(o.at("secret_env"), "", "give either secret_env (the name of an environment variable) or secret")
		return ""
	}
	field := o.secretField()
	text := o.text(field, "")
	if field == "secret_env" {
		name := text
		if !validEnv(name) {
			o.fail(field, "must be the name of an environment variable, such as CURFEW_KEY: A-Z a-z 0-9 _; the secret itself goes into the variable")
			return ""
		}
		if text = env(name); text == "" {
			if len(name) >= cookie.MinSecret {
				name = hidden
			}
			o.p.fail(o.at(field), name, "this environment variable is not set in the filter; list it under environment_variables.host_env_keys (Envoy) or vmConfig.env (Istio)")
		}
	}
	return text
}

// secret reads the secret of a key.
func (o *object) secret(env func(string) string) []byte {
	text := o.secretText(env)
	field := o.secretField()
	secret := decodeSecret(text)
	switch {
	case len(secret) < cookie.MinSecret:
		o.fail(field, "the secret is short: give 32 random bytes in base64, as of `openssl rand -base64 32`")
	case weak(text, secret):
		o.fail(field, "the secret is a sample or easily guessed: give 32 random bytes in base64, as of `openssl rand -base64 32`")
	}
	return secret
}

func (o *object) secretField() string {
	if o.has("secret_env") {
		return "secret_env"
	}
	return "secret"
}

// decodeSecret takes a secret as base64, in either alphabet, or else as the bytes it is.
func decodeSecret(text string) []byte {
	bare := strings.TrimRight(trim(text), "=")
	for _, enc := range [...]*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := enc.DecodeString(bare); err == nil && len(b) >= cookie.MinSecret {
			return b
		}
	}
	return []byte(text)
}

// weak finds what people put in by mistake. It cannot tell a good secret from a bad one.
func weak(text string, secret []byte) bool {
	folded := lower(text)
	for _, word := range [...]string{"replace-me", "replaceme", "change-me", "changeme", "sample", "example", "password"} {
		if strings.Contains(folded, word) {
			return true
		}
	}
	return distinct(secret) < 8 || periodic(secret) || steady(secret) || trim(folded) == published
}

// published is the test key of docs/format.md as it stands there.
const published = "47e0acbc4dded2688a34972855dbff0895988a706767bbf330326062dc17b3d1"

func distinct(b []byte) (n int) {
	var seen [256]bool
	for _, c := range b {
		if !seen[c] {
			seen[c] = true
			n++
		}
	}
	return n
}

// periodic reports whether b is a short text over and over.
func periodic(b []byte) bool {
	for period := 1; period <= 16; period++ {
		same := true
		for i := period; i < len(b) && same; i++ {
			same = b[i] == b[i-period]
		}
		if same {
			return true
		}
	}
	return false
}

// steady reports whether b counts up or down.
func steady(b []byte) bool {
	for i := 2; i < len(b); i++ {
		if b[i]-b[i-1] != b[1]-b[0] {
			return false
		}
	}
	return true
}

func validEnv(name string) bool {
	for i := 0; i < len(name); i++ {
		if c := name[i]; c != '_' && (c < '0' || c > '9' || i == 0) && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return name != ""
}
