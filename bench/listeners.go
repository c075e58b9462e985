package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/curfew-proxy/curfew/cookie"
)

// listener is one way to serve the same request.
type listener struct {
	id, name string // for Envoy, for people
	filters  []any
	// cookies returns the Cookie line of a request with a live session at now (Unix seconds).
	cookies func(now int64) (string, error)
	guarded bool // refuses requests without a session
	port    int
}

const (
	subject    = "user-4711"
	data       = `{"role":"editor","team":"north"}`
	cookieName = "__Host-session"
	others     = "theme=dark; consent=1; "
)

type object = map[string]any

// newListeners: the first is the base of all others, the second is the noise.
func newListeners(nothing, curfew string) ([]*listener, error) {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	plain := cookie.Session{Subject: subject, Data: data}
	signed, err := newCookies(secret, false, plain)
	if err != nil {
		return nil, err
	}
	sealed, err := newCookies(secret, true, plain)
	if err != nil {
		return nil, err
	}
	app := cookie.Wrapped{Name: "sessionid", Path: "/", Value: rand.Text(), Authenticates: true}
	wrapped, err := newCookies(secret, true, cookie.Session{Wrapped: string(cookie.AppendWrapped(nil, &app))})
	if err != nil {
		return nil, err
	}
	return []*listener{
		{id: "base", name: "no filter", cookies: signed},
		{id: "again", name: "no filter again", cookies: signed},
		{id: "nothing", name: "wasm that does nothing", cookies: signed, filters: []any{wasm("nothing", nothing, "")}},
		{id: "signed", name: "Curfew signed", cookies: signed, filters: []any{wasm("signed", curfew, curfewConfig(secret, `"mode": "signed"`))}, guarded: true},
		{id: "sealed", name: "Curfew sealed", cookies: sealed, filters: []any{wasm("sealed", curfew, curfewConfig(secret, `"mode": "sealed"`))}, guarded: true},
		{id: "wrap", name: "Curfew wrapping", cookies: wrapped, filters: []any{wasm("wrap", curfew, curfewConfig(secret, `"mode": "sealed"`, `"wrap": ["sessionid"]`))}, guarded: true},
		{id: "jwt", name: "jwt_authn HS256", cookies: newToken(secret), filters: []any{jwtAuthn(secret)}, guarded: true},
	}, nil
}

// newCookies mints what Curfew takes: a session like s, and a touch a little ahead, within the clock skew,
// so that none falls due in a slot.
func newCookies(secret []byte, sealed bool, s cookie.Session) (func(int64) (string, error), error) {
	codec, err := cookie.NewCodec(cookie.Options{Name: cookieName, Sealed: sealed, Skew: 60}, []cookie.Key{{ID: "bench", Secret: secret}})
	if err != nil {
		return nil, err
	}
	random := func(b []byte) error { _, err := rand.Read(b); return err }
	return func(now int64) (string, error) {
		s.StartedAt, s.AuthenticatedAt, s.IssuedAt = now, now, now
		_ = random(s.ID[:])
		token, err := codec.Seal(&s, now, random)
		if err != nil {
			return "", err
		}
		touch, err := codec.SealTouch(s.ID, now+30, now)
		return others + cookieName + "=" + token + "; " + cookieName + cookie.TouchSuffix + "=" + touch, err
	}, nil
}

// curfewConfig takes what stands in `cookie`, and further fields.
func curfewConfig(secret []byte, inCookie string, more ...string) string {
	fields := append([]string{
		`"cookie": {` + inCookie + `}`,
		fmt.Sprintf(`"keys": [{"id": "bench", "secret": %q}]`, base64.StdEncoding.EncodeToString(secret)),
		`"login": {"url": "/login"}`,
	}, more...)
	return "{" + strings.Join(fields, ", ") + "}"
}

func wasm(name, file, config string) object {
	return object{"name": name, "typed_config": object{
		"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
		"config": object{"name": name, "failure_policy": "FAIL_RELOAD",
			"vm_config":     object{"vm_id": "bench-" + name, "runtime": "envoy.wasm.runtime.v8", "code": object{"local": object{"filename": file}}},
			"configuration": object{"@type": "type.googleapis.com/google.protobuf.StringValue", "value": config}},
	}}
}

const issuer = "bench"

// newToken mints a JSON Web Token (RFC 7519) that says the same as the session.
func newToken(secret []byte) func(int64) (string, error) {
	return func(now int64) (string, error) {
		claims, err := json.Marshal(object{"iss": issuer, "sub": subject, "iat": now, "exp": now + 3600, "data": json.RawMessage(data)})
		if err != nil {
			return "", err
		}
		b64 := base64.RawURLEncoding
		text := b64.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT","kid":"bench"}`)) + "." + b64.EncodeToString(claims)
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(text))
		return others + "token=" + text + "." + b64.EncodeToString(mac.Sum(nil)), nil
	}
}

func jwtAuthn(secret []byte) object {
	jwks, _ := json.Marshal(object{"keys": []any{object{
		"kty": "oct", "alg": "HS256", "kid": "bench", "k": base64.RawURLEncoding.EncodeToString(secret)}}})
	return object{"name": "jwt", "typed_config": object{
		"@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
		"providers": object{"bench": object{"issuer": issuer, "from_cookies": []string{"token"},
			"local_jwks": object{"inline_string": string(jwks)}}},
		"rules": []any{object{"match": object{"prefix": "/"}, "requires": object{"provider_name": "bench"}}},
	}}
}

// bootstrap is the Envoy config. Every listener has a route that Envoy answers itself, so that no
// app's speed is part of the figure; filters see the response all the same.
func bootstrap(listeners []*listener) object {
	all := []any{}
	for _, l := range listeners {
		filters := append(l.filters[:len(l.filters):len(l.filters)], object{"name": "router", "typed_config": object{
			"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}})
		manager := object{
			"@type":       "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
			"stat_prefix": l.id, "http_filters": filters,
			"route_config": object{"virtual_hosts": []any{object{"name": "all", "domains": []string{"*"}, "routes": []any{object{
				"match": object{"prefix": "/"}, "direct_response": object{"status": 200, "body": object{"inline_string": "hello\n"}}}}}}},
		}
		all = append(all, object{"name": l.id, "address": address(0),
			"filter_chains": []any{object{"filters": []any{object{"name": "hcm", "typed_config": manager}}}}})
	}
	return object{"admin": object{"address": address(0)}, "static_resources": object{"listeners": all}}
}

func address(port int) object {
	return object{"socket_address": object{"address": "127.0.0.1", "port_value": port}}
}
