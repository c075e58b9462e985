package policy

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// inlineSecrets are the strings in place of secrets that stand in a config once, long enough that an
// error which has them has them from there.
func inlineSecrets(text string) (list []string) {
	for _, path := range [...]string{"keys.#.secret", "keys.#.secret_env", "django_messages.secret", "django_messages.secret_env"} {
		for _, v := range gjson.Get(text, path).Array() {
			s := v.String()
			if v.Type == gjson.String && len(s) >= 32 && strings.Count(text, s) == 1 {
				list = append(list, s)
			}
		}
	}
	return list
}

func TestDecodeSecret(t *testing.T) {
	raw := "\xfb\xff\xfe" + strings.Repeat("\xfa5z", 10) // its base64 has + and /
	std, url := base64.StdEncoding.EncodeToString([]byte(raw)), base64.URLEncoding.EncodeToString([]byte(raw))
	for _, c := range []struct{ name, text, want string }{
		{"standard", std, raw},
		{"standard, no padding", strings.TrimRight(std, "="), raw},
		{"URL", url, raw},
		{"line break at the end", std + "\n", raw},
		{"in two lines", std[:20] + "\n" + std[20:], raw},
		{"raw", "zR7qLw0-nX4vTb9.kYc2mHs6pDf8gJaE", "zR7qLw0-nX4vTb9.kYc2mHs6pDf8gJaE"},
		{"base64 of less than 32 bytes is taken as it is", base64.StdEncoding.EncodeToString([]byte(raw[:31])), base64.StdEncoding.EncodeToString([]byte(raw[:31]))},
		{"both alphabets mixed are neither", "+" + url[1:], "+" + url[1:]},
	} {
		if got := string(decodeSecret(c.text)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestWeak(t *testing.T) {
	counting := make([]byte, 32)
	for i := range counting {
		counting[i] = byte(250 + 3*i)
	}
	for _, c := range []struct {
		name, text string
		want       bool
	}{
		{"random", secretA, false},
		{"random, raw", "zR7qLw0-nX4vTb9.kYc2mHs6pDf8gJaE", false},
		{"hex", hexSecret[:40] + "e81b02d97c64f5aa93d10b7e", false},
		{"one byte", strings.Repeat("x", 64), true},
		{"seven different bytes", "abcdefgbcadfegcbagfdebcagfedcbagfdeabc", true},
		{"period of 16", strings.Repeat("zR7qLw0-nX4vTb9.", 3), true},
		{"period cut short", strings.Repeat("zR7qLw0-nX4vTb9.", 3)[:41], true},
		{"counting", base64.StdEncoding.EncodeToString(counting), true},
		{"counting down", "~}|{zyxwvutsrqponmlkjihgfedcba`_^]", true},
		{"change-me", "Change-Me-zR7qLw0-nX4vTb9.kYc2mHs6", true},
		{"password", "zR7qLw0-nX4vTb9.myPassWord.kYc2mHs6", true},
	} {
		if got := weak(c.text, decodeSecret(c.text)); got != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
	}
}

// A secret is put in the wrong place sooner or later. Wherever it stands at keys, no error repeats it.
func TestErrorsAtKeysRepeatNoSecret(t *testing.T) {
	quoted, err := json.Marshal(secretB)
	if err != nil {
		t.Fatal(err)
	}
	s := string(quoted)
	for _, keys := range []string{
		s, `{"a":` + s + `}`, `[` + s + `]`, `[[` + s + `]]`,
		`[{"id":"a","secret_env":` + s + `}]`,
		`[{"id":"a","secret_env":"K","secret":` + s + `}]`,
		`[{"id":"a","SECRET":` + s + `}]`, `[{"id":"a","key":` + s + `}]`,
		`[{"id":"a","secret":[` + s + `]}]`, `[{"id":"a","secret":{"value":` + s + `}}]`,
		`[{"id":"a","secret":` + s + `,"secret":` + s + `}]`,
		`[{"id":"a","secret":` + s + `},{"id":"b","secret":` + s + `}]`,
		`[{"id":"a","secret":` + s + `},{"id":"a","secret_env":"K"}]`,
	} {
		_, err := Parse(withKeys(keys), oneKey.get)
		if err == nil {
			t.Errorf("accepted: %s", keys)
		} else if strings.Contains(err.Error(), secretB[:8]) {
			t.Errorf("%s: the error repeats it: %s", keys, err)
		}
	}
}

func TestErrorsAtDjangoRepeatNoSecret(t *testing.T) {
	quoted, err := json.Marshal(secretB)
	if err != nil {
		t.Fatal(err)
	}
	s := string(quoted)
	for _, django := range []string{
		s, `[` + s + `]`, `{"secret_env":` + s + `}`, `{"secret_env":"K","secret":` + s + `}`,
		`{"SECRET":` + s + `}`, `{"secret":[` + s + `]}`, `{"secret":{"value":` + s + `}}`,
		`{"secret":` + s + `,"secret":` + s + `}`, `{"secret":` + s + `,"text":""}`, `{"secret":` + s + `,"text":1}`,
		`{"secret":` + s[:20] + `"}`, `{"secret_env":"SHORT"}`, `{"secret_env":"SAMPLE"}`,
	} {
		env := envMap{"K": secretA, "SHORT": secretB[:19], "SAMPLE": secretB + "example"}
		_, err := Parse(withTop(`"django_messages":`+django), env.get)
		if err == nil {
			t.Errorf("accepted: %s", django)
		} else if strings.Contains(err.Error(), secretB[:8]) {
			t.Errorf("%s: the error repeats it: %s", django, err)
		}
	}
}

func TestSameKeyWhereverItComesFrom(t *testing.T) {
	a, err := Parse(minimal, oneKey.get)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Parse(withKey(`"secret":"`+secretA+`"`), noKey.get)
	if err != nil {
		t.Fatal(err)
	}
	if string(a.Keys[0].Secret) != string(b.Keys[0].Secret) {
		t.Error("a secret of the environment and the same one inline differ")
	}
}
