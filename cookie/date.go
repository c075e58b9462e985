package cookie

import "strings"

// ParseDate reads a date as browsers read a cookie's Expires (RFC 6265bis, section 5.1.1) as Unix
// seconds: a time of day, a day, a month and a year in any order. The one date that HTTP itself may
// send (RFC 9110, section 5.6.7) is among them.
func ParseDate(s string) (unix int64, ok bool) {
	const clock, day, month, year = 0, 1, 2, 3
	var found [4]bool
	var hour, minute, second, d, m, y int64
	for s != "" {
		var token string
		if token, s = cutToken(s); token == "" {
			continue
		}
		switch {
		case !found[clock] && parseClock(token, &hour, &minute, &second):
			found[clock] = true
		case !found[day] && digits(token, 1, 2, &d):
			found[day] = true
		case !found[month] && parseMonth(token, &m):
			found[month] = true
		case !found[year] && digits(token, 2, 4, &y):
			found[year] = true
		}
	}
	switch {
	case y < 70:
		y += 2000
	case y < 100:
		y += 1900
	}
	if found != [4]bool{true, true, true, true} || y < 1601 || second > 59 {
		return 0, false
	}
	return UnixTime(y, m, d, hour, minute, second)
}

// cutToken takes what stands before the next delimiter off s.
func cutToken(s string) (token, rest string) {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == '\t' || c >= 0x20 && c <= 0x2f || c >= 0x3b && c <= 0x40 || c >= 0x5b && c <= 0x60 || c >= 0x7b && c <= 0x7e {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// digits reads a number of least to most digits at the front of token; what follows may not be one.
func digits(token string, least, most int, out *int64) bool {
	n, i := int64(0), 0
	for ; i < len(token) && token[i] >= '0' && token[i] <= '9'; i++ {
		if i == most {
			return false
		}
		n = n*10 + int64(token[i]-'0')
	}
	if i < least {
		return false
	}
	*out = n
	return true
}

func parseClock(token string, hour, minute, second *int64) bool {
	h, rest, _ := strings.Cut(token, ":")
	m, s, _ := strings.Cut(rest, ":")
	return digits(h, len(h), 2, hour) && digits(m, len(m), 2, minute) && h != "" && m != "" &&
		digits(s, 1, 2, second)
}

func parseMonth(token string, month *int64) bool {
	const names = "janfebmaraprmayjunjulaugsepoctnovdec"
	if len(token) < 3 {
		return false
	}
	name := [3]byte{token[0] | 0x20, token[1] | 0x20, token[2] | 0x20}
	for i := 0; i < len(names); i += 3 {
		if names[i:i+3] == string(name[:]) {
			*month = int64(i/3 + 1)
			return true
		}
	}
	return false
}

// UnixTime counts the seconds from 1970 to a time of the Gregorian calendar, in UTC; ok is false where
// there is no such time. 60 is a leap second (RFC 3339, section 5.6), which counts as the next second.
func UnixTime(year, month, day, hour, minute, second int64) (unix int64, ok bool) {
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 60 {
		return 0, false
	}
	return (daysBefore(year, month)+day-1)*86400 + hour*3600 + minute*60 + second, true
}

func leap(year int64) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

func daysIn(year, month int64) int64 {
	switch month {
	case 2:
		if leap(year) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// daysBefore counts the days from 1970-01-01 to the first of a month.
func daysBefore(year, month int64) (days int64) {
	before := year - 1
	days = before*365 + before/4 - before/100 + before/400 - 719162
	for m := int64(1); m < month; m++ {
		days += daysIn(year, m)
	}
	return days
}
