package impostor

import (
	"strings"
	"unicode"
)

// subjectHabits looks at the form of the subject.
func (x *scan) subjectHabits() {
	s := x.subject
	switch {
	case strings.TrimSpace(s) == "":
		if !x.post && !x.auto {
			x.add("subject.missing", "no subject")
		}
		return
	case !x.post && x.namesRecipient(s):
		x.add("subject.recipient", "%s", s)
	}
	if i := strings.Index(s, "      "); i > 0 && strings.TrimSpace(s[i:]) != "" && !x.post {
		x.add("subject.padding", "%s", s)
	}
	letters, upper, pictures := 0, 0, 0
	for _, r := range s {
		switch {
		case unicode.IsUpper(r):
			letters, upper = letters+1, upper+1
		case unicode.IsLetter(r):
			letters++
		case isPicture(r):
			pictures++
		}
	}
	if letters >= 12 && upper*10 >= letters*9 {
		x.add("subject.capitals", "%s", s)
	}
	if pictures > 0 {
		x.add("subject.pictures", "%d pictures", pictures)
	}
	if n := strings.Count(s, "!"); n >= 2 || strings.Contains(s, "$$") {
		x.add("subject.shouting", "%s", s)
	}
}

// namesRecipient says whether a subject begins or ends with the address or the local part of a recipient.
func (x *scan) namesRecipient(s string) bool {
	lower := strings.ToLower(s)
	for a := range x.recipients {
		a = strings.ToLower(a)
		local, _, ok := strings.Cut(a, "@")
		if !ok {
			continue
		}
		if strings.Contains(lower, a) {
			return true
		}
		if len(local) < 4 {
			continue
		}
		if rest, ok := strings.CutPrefix(lower, local); ok && rest != "" && strings.ContainsAny(rest[:1], " ,:!-") {
			return true
		}
		if rest, ok := strings.CutSuffix(strings.TrimRight(lower, " .!?"), local); ok && rest != "" && strings.HasSuffix(rest, " ") {
			return true
		}
	}
	return false
}
