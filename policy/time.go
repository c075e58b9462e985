package policy

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
	// 60 is a leap second (RFC 3339, section 5.6); Unix time counts it as the next second.
	if !ok || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 60 {
		return 0, false
	}
	return (daysBefore(year, month)+day-1)*86400 + hour*3600 + minute*60 + second - offset, true
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

// daysBefore counts the days from 1970-01-01 to the first of a month in the Gregorian calendar.
func daysBefore(year, month int64) (days int64) {
	before := year - 1
	days = before*365 + before/4 - before/100 + before/400 - 719162
	for m := int64(1); m < month; m++ {
		days += daysIn(year, m)
	}
	return days
}
