package verdict

import "math"

// Merge decides what a message is, given what all scanners found. It must not depend on anything but
// its arguments, so that the answer is the same whatever the timing was.
type Merge func(m *Message, findings []Finding) Class

// Highest is the merge in which nothing adds up: the highest class among the findings, Clean if there is
// none. A scanner that could not tell (Err set, Class Unknown) makes the message Unknown, unless another
// finding makes it Malicious: what failed might have found worse than spam.
func Highest(_ *Message, findings []Finding) Class {
	class, blind := strongest(findings)
	return settle(class, blind)
}

// strongest returns the highest class among the findings, and whether a scanner could not tell.
func strongest(findings []Finding) (class Class, blind bool) {
	class = Clean
	for _, f := range findings {
		class = max(class, f.Class)
		blind = blind || f.Err != nil && f.Class == Unknown
	}
	return class, blind
}

func settle(class Class, blind bool) Class {
	if blind && class < Malicious {
		return Unknown
	}
	return class
}

// Weigh merges like Highest, and lets weak evidence add up: a message whose TotalScore reaches a threshold
// is at least of that class. Strong evidence decides by its class, whatever the score. The zero value is
// the merge of an engine that has none of its own.
type Weigh struct {
	// Spam is the score from which a message is spam. 0 means DefaultSpamScore; negative: never by score.
	Spam float64
	// Malicious is the score from which a message is malicious. 0 or less: never by score. Weak evidence is
	// about wishes and habits of senders; that something is harmful is for strong evidence to say.
	Malicious float64
}

// DefaultSpamScore is the threshold to which the scores of Codes were made: two or three independent signs
// of medium weight, or one that legitimate mail hardly ever shows with a small one.
const DefaultSpamScore = 5

// Merge is a Merge.
func (w Weigh) Merge(_ *Message, findings []Finding) Class {
	class, blind := strongest(findings)
	score := TotalScore(findings)
	if w.Spam == 0 {
		w.Spam = DefaultSpamScore
	}
	if w.Spam > 0 && score >= w.Spam {
		class = max(class, Spam)
	}
	if w.Malicious > 0 && score >= w.Malicious {
		class = Malicious
	}
	return settle(class, blind)
}

// TotalScore adds up the scores of findings. Of those with one scanner and one code the highest counts,
// and only that: a hundred links of one kind are no more evidence than one. Scores are rounded to
// hundredths, so that the order of the findings does not matter.
func TotalScore(findings []Finding) float64 {
	type kind struct{ scanner, code string }
	best := make(map[kind]float64)
	for _, f := range findings {
		if f.Score == 0 || math.IsNaN(f.Score) || math.IsInf(f.Score, 0) {
			continue
		}
		k := kind{f.Scanner, f.Code}
		if old, ok := best[k]; !ok || f.Score > old {
			best[k] = f.Score
		}
	}
	var hundredths float64
	for _, s := range best {
		hundredths += math.Round(s * 100)
	}
	return hundredths / 100
}
