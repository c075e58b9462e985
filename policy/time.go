package policy

import "github.com/curfew-proxy/curfew/cookie"

// parseTime reads an RFC 3339 time as Unix seconds; a fraction is dropped. (Package time would do, at
// a tenth of the module's size.)
func parseTime(s string) (unix int64, ok bool) {
	const form = "0000-00-00T00:00:00"
	if len(s) <= len(form) {
		return 0, false
	}
	for i := 0; i < len(form); i++ {
		if digit(s[i]) != (form[i] == '0') || form[i] != '0' && s[i] != form[i] {
			return 0, false
		}
	}
	year, month, day := number(s[:4]), number(s[5:7]), number(s[8:10])
	hour, minute, second := number(s[11:13]), number(s[14:16]), number(s[17:19])
	offset, ok := parseOffset(skipFraction(s[len(form):]))
	unix, valid := cookie.UnixTime(year, month, day, hour, minute, second)
	if !ok || !valid {
		return 0, false
	}
	return unix - offset, true
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func number(s string) (n int64) {
	for i := 0; i < len(s); i++ {
		n = n*10 + int64(s[i]-'0')
	}
	return n
}

// skipFraction drops a point and the digits after it; a point without digits stays, and is refused.
func skipFraction(s string) string {
	if len(s) < 2 || s[0] != '.' || !digit(s[1]) {
		return s
	}
	for s = s[2:]; s != "" && digit(s[0]); s = s[1:] {
	}
	return s
}

// parseOffset reads Z or +hh:mm as seconds east of UTC.
func parseOffset(s string) (seconds int64, ok bool) {
	if s == "Z" {
		return 0, true
	}
	if len(s) != 6 || s[0] != '+' && s[0] != '-' || s[3] != ':' ||
		!digit(s[1]) || !digit(s[2]) || !digit(s[4]) || !digit(s[5]) {
		return 0, false
	}
	hour, minute := number(s[1:3]), number(s[4:6])
	seconds = hour*3600 + minute*60
	if s[0] == '-' {
		seconds = -seconds
	}
	return seconds, hour <= 23 && minute <= 59
}
