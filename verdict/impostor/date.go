package impostor

import (
	"strings"
	"time"
)

// parseDate reads a Date (RFC 5322 section 3.3, and 4.3 for old forms): "Fri, 02 Jan 2026 03:04:05 +0100 (CET)". Day names
// and comments are not looked at. It returns the zero time if something is missing, misplaced or impossible.
func parseDate(v string) time.Time {
	if i := strings.IndexByte(v, '('); i >= 0 {
		v = v[:i]
	}
	if day, rest, ok := strings.Cut(v, ","); ok && len(day) <= 9 {
		v = rest
	}
	var fields [5]string // day, month, year, time, zone
	n := 0
	for f := range strings.FieldsSeq(v) {
		if n == 0 && len(f) == 3 && isASCIILetter(f[0]) {
			continue // a day name without comma
		}
		if n == len(fields) {
			return time.Time{}
		}
		fields[n] = f
		n++
	}
	if n < len(fields) {
		return time.Time{}
	}
	day, month, year := number(fields[0], 31), monthOf(fields[1]), number(fields[2], 9999)
	switch {
	case len(fields[2]) == 2 && year < 50: // section 4.3
		year += 2000
	case len(fields[2]) == 2 || len(fields[2]) == 3:
		year += 1900
	}
	hour, rest, _ := strings.Cut(fields[3], ":")
	minute, second, ok := strings.Cut(rest, ":")
	if !ok {
		second = "0"
	}
	h, m, s := number(hour, 23), number(minute, 59), number(second, 60)
	zone, known := zoneOf(fields[4])
	if day < 1 || month == 0 || year < 1900 || h < 0 || m < 0 || s < 0 || !known {
		return time.Time{}
	}
	t := time.Date(year, month, day, h, m, s, 0, time.UTC)
	if t.Day() != day {
		return time.Time{} // the 31st of February
	}
	return t.Add(-zone)
}

// number reads a number of at most four digits that is no more than most; -1 if it is none.
func number(s string, most int) int {
	if s == "" || len(s) > 4 {
		return -1
	}
	n := 0
	for i := range len(s) {
		if !isDigit(s[i]) {
			return -1
		}
		n = 10*n + int(s[i]-'0')
	}
	if n > most {
		return -1
	}
	return n
}

func monthOf(s string) time.Month {
	if len(s) < 3 {
		return 0
	}
	for m := time.January; m <= time.December; m++ {
		if name := m.String(); strings.EqualFold(s, name[:3]) || strings.EqualFold(s, name) {
			return m
		}
	}
	return 0
}

// zoneOf returns how far a zone is ahead of UTC. A name is as good as UTC (section 4.3).
func zoneOf(s string) (time.Duration, bool) {
	if len(s) == 5 && (s[0] == '+' || s[0] == '-') {
		h, m := number(s[1:3], 99), number(s[3:], 59)
		ahead := time.Duration(h)*time.Hour + time.Duration(m)*time.Minute
		if s[0] == '-' {
			ahead = -ahead
		}
		return ahead, h >= 0 && m >= 0
	}
	if len(s) > 5 {
		return 0, false
	}
	for i := range len(s) {
		if !isASCIILetter(s[i]) {
			return 0, false
		}
	}
	return 0, true
}
