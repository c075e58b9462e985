package cookie

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"
)

func unixOf(year int, month time.Month, day, hour, minute, second int) int64 {
	return time.Date(year, month, day, hour, minute, second, 0, time.UTC).Unix()
}

var nov6 = unixOf(1994, 11, 6, 8, 49, 37)

var dateCases = []struct {
	date string
	want int64
	ok   bool
}{
	// The three forms of RFC 9110, section 5.6.7, and their relatives.
	{"Sun, 06 Nov 1994 08:49:37 GMT", nov6, true},
	{"Sunday, 06-Nov-94 08:49:37 GMT", nov6, true},
	{"Sun Nov  6 08:49:37 1994", nov6, true},
	{"Sun, 06-Nov-1994 08:49:37 GMT", nov6, true},
	{"Sun, 06 Nov 1994 08:49:37 +0900", nov6, true},
	{"1994 Nov 06 08:49:37", nov6, true},
	{"08:49:37 06 Nov 1994", nov6, true},
	{"1994/Nov/06/08:49:37", nov6, true},
	{"Nov 1994 08:49:37 6", nov6, true},
	{"  ,;6\tNOVEMBER!!94--8:49:37(x)", nov6, true},
	{"6th nov 1994th 8:49:37.5Z", nov6, true},
	{"6 Nov 1994 8:49:37:99", nov6, true},
	// The first of each kind counts.
	{"Sun, 06 Nov 1994 08:49:37 GMT 07 Dec 1995 09:50:38", nov6, true},
	{"06 07 Nov 1994 08:49:37", unixOf(2007, 11, 6, 8, 49, 37), true},
	{"Thu, 01 Jan 1970 00:00:00 GMT", 0, true},
	{"Wed, 31 Dec 1969 23:59:59 GMT", -1, true},
	{"1 Jan 1601 00:00:00", unixOf(1601, 1, 1, 0, 0, 0), true},
	{"31 Dec 9999 23:59:59", unixOf(9999, 12, 31, 23, 59, 59), true},
	{"19 Jan 2038 03:14:08", 1 << 31, true},
	// Years of two digits, and of four that are as small.
	{"6 Nov 00 8:49:37", unixOf(2000, 11, 6, 8, 49, 37), true},
	{"6 Nov 69 8:49:37", unixOf(2069, 11, 6, 8, 49, 37), true},
	{"6 Nov 70 8:49:37", unixOf(1970, 11, 6, 8, 49, 37), true},
	{"6 Nov 99 8:49:37", unixOf(1999, 11, 6, 8, 49, 37), true},
	{"6 Nov 0069 8:49:37", unixOf(2069, 11, 6, 8, 49, 37), true},
	{"6 Nov 0099 8:49:37", unixOf(1999, 11, 6, 8, 49, 37), true},
	{"6 Nov 100 8:49:37", 0, false},
	{"31 Dec 1600 23:59:59", 0, false},
	// Leap years, and days that are not.
	{"29 Feb 2000 0:0:0", unixOf(2000, 2, 29, 0, 0, 0), true},
	{"29 Feb 2024 0:0:0", unixOf(2024, 2, 29, 0, 0, 0), true},
	{"29 Feb 1900 0:0:0", 0, false},
	{"29 Feb 2023 0:0:0", 0, false},
	{"30 Feb 2024 0:0:0", 0, false},
	{"31 Feb 2024 0:0:0", 0, false},
	{"31 Apr 2024 0:0:0", 0, false},
	{"32 Jan 2024 0:0:0", 0, false},
	{"0 Jan 2024 0:0:0", 0, false},
	{"00 Jan 2024 0:0:0", 0, false},
	// Times of day.
	{"1 Jan 2024 23:59:59", unixOf(2024, 1, 1, 23, 59, 59), true},
	{"1 Jan 2024 24:00:00", 0, false},
	{"1 Jan 2024 00:60:00", 0, false},
	{"1 Jan 2024 00:00:60", 0, false},
	{"1 Jan 2024 000:00:00", 0, false},
	{"1 Jan 2024 00:000:00", 0, false},
	{"1 Jan 2024 00:00:000", 0, false},
	{"1 Jan 2024 00:00", 0, false},
	{"1 Jan 2024 00::00", 0, false},
	{"1 Jan 2024 :00:00", 0, false},
	{"1 Jan 2024 00:00:", 0, false},
	{"1 Jan 2024 0x:00:00", 0, false},
	{"1 Jan 2024 00:0x:00", 0, false},
	{"1 Jan 2024 00:00:x", 0, false},
	{"1 Jan 2024 99:99: 10:11:12", unixOf(2024, 1, 1, 10, 11, 12), true},
	{"1 Jan 2024 10h11m12s", 0, false},
	// Something is missing, or nothing is there.
	{"", 0, false},
	{"   ", 0, false},
	{"0", 0, false},
	{"-1", 0, false},
	{"Session", 0, false},
	{"Nov 1994 08:49:37", 0, false},
	{"06 1994 08:49:37", 0, false},
	{"06 Nov 08:49:37", 0, false},
	{"06 Nov 1994", 0, false},
	{"06 No 1994 08:49:37", 0, false},
	{"06 Nov 19945 08:49:37", 0, false},
	{"06 Nov 9 08:49:37", 0, false},
	{"006 Nov 1994 08:49:37", 0, false},
	{"2024-01-01T00:00:00Z", 0, false},
	{"06\x00 Nov 1994 08:49:37", nov6, true},
	{"06 Nov\xff 1994 08:49:37", nov6, true},
	{"\xff06 Nov 1994 08:49:37", 0, false},
}

func TestParseDate(t *testing.T) {
	for _, tc := range dateCases {
		if got, ok := ParseDate(tc.date); ok != tc.ok || ok && got != tc.want {
			t.Errorf("%q: %d, %v; want %d, %v", tc.date, got, ok, tc.want, tc.ok)
		}
	}
}

// Every date that Go writes in one of HTTP's forms is read as that date, and as Go itself reads it.
func TestParseDateAsGo(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	first, last := unixOf(1601, 1, 1, 0, 0, 0), unixOf(9999, 12, 31, 23, 59, 59)
	for range 20_000 {
		at := time.Unix(first+random.Int64N(last-first+1), 0).UTC()
		forms := []string{http.TimeFormat, time.ANSIC, "Mon, 02-Jan-2006 15:04:05 MST"}
		if y := at.Year(); y >= 1970 && y < 2069 { // from 2069 on, Go and browsers differ about two digits
			forms = append(forms, time.RFC850)
		}
		for _, form := range forms {
			text := at.Format(form)
			if got, ok := ParseDate(text); !ok || got != at.Unix() {
				t.Fatalf("%q: %d, %v; want %d", text, got, ok, at.Unix())
			}
			if theirs, err := http.ParseTime(text); err == nil && theirs.Unix() != at.Unix() {
				t.Fatalf("%q: Go reads %d, wrote %d", text, theirs.Unix(), at.Unix())
			}
		}
	}
}

// Numbers that are no date are refused, by the calendar of package time.
func TestUnixTime(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	number := func(least, most int64) int64 { return least + random.Int64N(most-least+1) }
	good := 0
	for range 50_000 {
		y, mo, d := number(1, 9999), number(-1, 14), number(-1, 33)
		h, mi, s := number(0, 24), number(0, 61), number(0, 61)
		at := time.Date(int(y), time.Month(mo), int(d), int(h), int(mi), int(min(s, 59)), 0, time.UTC)
		want := at.Unix() + s - min(s, 59) // second 60 is the next one
		valid := s <= 60 && fmt.Sprint(y, mo, d, h, mi) == fmt.Sprint(at.Year(), int(at.Month()), at.Day(), at.Hour(), at.Minute())
		got, ok := UnixTime(y, mo, d, h, mi, s)
		if ok != valid || ok && got != want {
			t.Fatalf("%d-%d-%d %d:%d:%d: %d, %v; want %d, %v", y, mo, d, h, mi, s, got, ok, want, valid)
		}
		if ok {
			good++
		}
	}
	if good == 0 {
		t.Error("no date was good")
	}
}

// FuzzParseDate: what is read is a date that, written the way HTTP writes it, is read the same.
func FuzzParseDate(f *testing.F) {
	for _, s := range []string{"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "99:99: 1", strings.Repeat("1 ", 9)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at, ok := ParseDate(s)
		if !ok {
			return
		}
		text := time.Unix(at, 0).UTC().Format(http.TimeFormat)
		if again, ok := ParseDate(text); !ok || again != at {
			t.Errorf("%q is %d, %q is %d, %v", s, at, text, again, ok)
		}
	})
}
