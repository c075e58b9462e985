package policy

import (
	"regexp"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for _, c := range []struct {
		text string
		want int64
		ok   bool
	}{
		{"15m", 900, true},
		{"12h", 43200, true},
		{"1s", 1, true},
		{"0s", 0, true},
		{"1h30m", 5400, true},
		{"1h1m1s", 3661, true},
		{"1s1m1h", 3661, true},
		{"30s1h20m", 4830, true},
		{"00001h", 3600, true},
		{"99999h99999m99999s", 99999 * 3661, true},
		{"", 0, false},
		{"h", 0, false},
		{"1", 0, false},
		{"1h2", 0, false},
		{"1h1h", 0, false},
		{"1m1h1m", 0, false},
		{"100000s", 0, false},
		{"1.5h", 0, false},
		{"-1h", 0, false},
		{"+1h", 0, false},
		{"1ms", 0, false},
		{"1s5ms", 0, false},
		{"1us", 0, false},
		{"1d", 0, false},
		{"1H", 0, false},
		{" 1h", 0, false},
		{"1h ", 0, false},
		{"1 h", 0, false},
		{"1h\x00", 0, false},
		{"１h", 0, false},
	} {
		got, ok := parseDuration(c.text)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%q: got %d, %v; want %d, %v", c.text, got, ok, c.want, c.ok)
		}
	}
}

// durationPattern is what the schema takes for a duration.
func durationPattern(t testing.TB) *regexp.Regexp {
	t.Helper()
	def := rawSchema(t)["$defs"].(node)["duration"].(node)
	return regexp.MustCompile(def["pattern"].(string))
}

// FuzzDuration: the parser takes just what the schema's pattern does, and reads it as Go's own
// parser, which takes more.
func FuzzDuration(f *testing.F) {
	for _, s := range []string{"15m", "1h30m", "1s1m1h", "99999h", "100000h", "1ms", "1.5h", "-1h", "1h1h", ""} {
		f.Add(s)
	}
	pattern := durationPattern(f)
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := parseDuration(text)
		if ok != pattern.MatchString(text) {
			t.Fatalf("%q: parser %v, schema %v", text, ok, !ok)
		}
		if !ok {
			return
		}
		want, err := time.ParseDuration(text)
		if err != nil || want != time.Duration(got)*time.Second {
			t.Errorf("%q: got %ds, Go reads %v, %v", text, got, want, err)
		}
	})
}
