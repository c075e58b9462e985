package policy

// parseDuration reads a GEP-2257 duration (the Kubernetes Gateway API's: one to four of h, m, s, ms,
// each at most once and in any order, up to five digits each) into whole seconds. Milliseconds are
// refused: the tokens count seconds.
func parseDuration(s string) (seconds int64, ok bool) {
	seen := 0
	for s != "" {
		n, digits := int64(0), 0
		for digits < len(s) && s[digits] >= '0' && s[digits] <= '9' {
			n = n*10 + int64(s[digits]-'0')
			if digits++; digits > 5 {
				return 0, false
			}
		}
		if digits == 0 || digits == len(s) {
			return 0, false
		}
		unit, bit := int64(0), 0
		switch s[digits] {
		case 'h':
			unit, bit = 3600, 1
		case 'm':
			unit, bit = 60, 2
		case 's':
			unit, bit = 1, 4
		}
		if bit == 0 || seen&bit != 0 {
			return 0, false
		}
		seen |= bit
		seconds += n * unit
		s = s[digits+1:]
	}
	return seconds, seen != 0
}
