package policy

import (
	"testing"
	"time"
)

// Go's own reading of RFC 3339 is the reference.
func TestParseTime(t *testing.T) {
	for _, s := range []string{
		"1970-01-01T00:00:00Z", "1999-12-31T23:59:59Z", "2000-02-29T12:00:00Z", "2000-03-01T00:00:00Z",
		"2026-11-20T08:00:00Z", "2026-11-20T08:00:00.25Z", "2026-11-20T08:00:00+05:30", "2026-11-20T08:00:00-11:59",
		"2100-02-28T00:00:00Z", "2100-03-01T00:00:00Z", "2400-02-29T23:59:59Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z",
	} {
		want, err := time.Parse(time.RFC3339, s)
		if got, ok := parseTime(s); err != nil || !ok || got != want.Unix() {
			t.Errorf("%s: got %d %v, want %d %v", s, got, ok, want.Unix(), err)
		}
	}
	for day := int64(0); day < 200000; day++ {
		want := time.Unix(day*86400+day%86400, 0).UTC()
		if got, ok := parseTime(want.Format(time.RFC3339)); !ok || got != want.Unix() {
			t.Fatalf("%v: got %d %v", want, got, ok)
		}
	}
	if got, ok := parseTime("2016-12-31T23:59:60Z"); !ok || got != 1483228800 {
		t.Errorf("TI-120 leap second: %d %v", got, ok)
	}
	for _, s := range []string{
		"", "2026", "2026-11-20", "2026-11-20T08:00:00", "2026-11-20t08:00:00Z", "2026-11-20 08:00:00Z", "2026-11-20T08:00:00z",
		"2026-11-20T08:00Z", "2026-11-20T8:00:00Z", "2026-11-20T08:00:00,5Z", "2026-11-20T08:00:00.Z", "2026-13-01T00:00:00Z",
		"2026-00-01T00:00:00Z", "2026-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-11-00T00:00:00Z",
		"2026-11-20T24:00:00Z", "2026-11-20T08:60:00Z", "2026-11-20T08:00:61Z", "2026-11-20T08:00:00+24:00",
		"2026-11-20T08:00:00+05:60", "2026-11-20T08:00:00+0530", "2026-11-20T08:00:00Z ", " 2026-11-20T08:00:00Z",
		"+026-11-20T08:00:00Z", "2026-11-20T08:00:00Zé",
	} {
		if got, ok := parseTime(s); ok {
			t.Errorf("%q read as %d", s, got)
		}
	}
}
