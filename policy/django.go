package policy

import (
	"strings"

	"github.com/tidwall/gjson"

	"github.com/curfew-proxy/curfew/cookie"
)

// django is the config's `django_messages`: a word to somebody whose session has ended, on the next page
// of a Django project, through Django's own message framework.
type django struct {
	signer   *cookie.DjangoSigner
	messages string // JSON, as Django's cookie storage has it
}

func (p *parser) django(o *object, env func(string) string) *django {
	if !o.there {
		return nil
	}
	secret := o.secretText(env)
	text := o.text("text", "Your session has expired. Please log in again.")
	switch {
	case len(secret) < cookie.MinSecret || weak(secret, []byte(secret)):
		o.fail(o.secretField(), "is short, a sample or easily guessed: give the project's own SECRET_KEY, of at least 32 characters")
	case text == "" || len(text) > 256:
		o.fail("text", "must have 1 to 256 bytes")
	}
	signer, err := cookie.NewDjangoSigner(secret)
	if err != nil {
		o.fail("", "cannot be made ready")
	}
	// Tag, not marked safe, level WARNING, text, no extra tags.
	b := gjson.AppendJSONString([]byte(`[["__json_message",0,30,`), text)
	return &django{signer, string(appendASCII(nil, string(b))) + `,""]]`}
}

// SetsMessages reports whether a Set-Cookie value is for Django's cookie of messages.
func SetsMessages(setCookie string) bool {
	name, _, _ := strings.Cut(setCookie, "=")
	return trim(name) == cookie.DjangoMessages
}

// messages is the Set-Cookie value that makes Django show the message, if the reason calls for one. Django
// deletes it on its own path, without a domain.
func (c *Config) messages(reason Reason, now int64) []string {
	if c.django == nil || reason != IdleTimeout && reason != AbsoluteTimeout && reason != Revoked {
		return nil
	}
	attributes := cookie.Attributes{Path: "/", SameSite: "Lax", Secure: c.Cookie.Secure}
	return []string{attributes.Set(cookie.DjangoMessages, c.django.signer.Sign(c.django.messages, now), cookie.SessionOnly)}
}
