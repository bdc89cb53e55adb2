package impostor

// endWord closes the word that was being read, if there is one.
func (f *folded) endWord() {
	w := f.word
	if len(f.text) == w.start {
		return
	}
	f.starts = append(f.starts, int32(w.start))
	how := w.how
	if w.foreign > 0 {
		switch {
		case w.latin > 0 && w.alien == 0:
			how |= oddMixed
		case w.alien > 0 || w.latin == 0: // a word of that script
			how &^= oddHidden
		}
	}
	if w.digits > 0 {
		how |= f.numbers(w)
	}
	if how != 0 && w.letters > 1 && len(f.odd) < maxOdd {
		f.odd = append(f.odd, oddWord{w.start, len(f.text), how})
	}
	if w.letters >= 4 {
		f.long++
		if w.upper == w.letters {
			f.caps++
		}
	}
	f.text = append(f.text, blank)
	f.word = wordState{start: len(f.text)}
	if w.letters == 1 {
		f.singles++
	} else if f.singles > 0 {
		f.joinSpaced(w.start)
	}
}

// numbers makes numbers of one length, and letters of the digits inside a word.
func (f *folded) numbers(w wordState) oddity {
	word := f.text[w.start:]
	if w.letters == 0 {
		f.text = append(f.text[:w.start], digit)
		return 0
	}
	n := len(word) // without the digits behind the letters: "level3", "norton360"
	for n > 0 && isDigit(word[n-1]) {
		n--
	}
	if inner := w.digits - (len(word) - n); inner > 0 && inner <= w.letters && w.letters >= 3 {
		for i, c := range word[:n] {
			if isDigit(c) {
				word[i] = leet[c-'0']
			}
		}
		f.text = f.text[:w.start+n]
		return oddLeet
	}
	if c := word[len(word)-1]; n == len(word)-1 && w.letters >= 4 && w.digits == 1 && c <= '1' {
		// "PayPa1" or "level1": both are looked for.
		f.text = append(append(f.text[:w.start+n], blank), word[:n]...)
		f.text = append(f.text, "ol"[c-'0'])
		f.starts = append(f.starts, int32(w.start+n+1))
		if len(f.odd) < maxOdd {
			f.odd = append(f.odd, oddWord{w.start + n + 1, len(f.text), w.how | oddLeet})
		}
		return 0
	}
	out := f.text[:w.start]
	for i, c := range word[:n] {
		switch {
		case !isDigit(c):
			out = append(out, c)
		case i == 0 || !isDigit(word[i-1]):
			out = append(out, digit)
		}
	}
	f.text = out
	return 0
}

// leet are the letters that digits are written for.
const leet = "oizeasgtbg"

// joinSpaced makes one word of those in front of end if they are five or more single letters: "W I N N E R".
func (f *folded) joinSpaced(end int) {
	const least = 5
	singles := f.singles
	f.singles = 0
	if singles < least {
		return
	}
	start := end
	for start >= 3 && f.text[start-1] == blank && isLetter(f.text[start-2]) && f.text[start-3] == blank {
		start -= 2
	}
	if (end-start)/2 < least {
		return
	}
	n := start
	for i := start; i < end; i += 2 {
		f.text[n] = f.text[i]
		n++
	}
	if len(f.odd) < maxOdd {
		f.odd = append(f.odd, oddWord{start, n, oddSpaced})
	}
	for len(f.starts) > 0 && int(f.starts[len(f.starts)-1]) >= start {
		f.starts = f.starts[:len(f.starts)-1]
	}
	f.starts = append(f.starts, int32(start))
	tail := append([]byte(nil), f.text[end:]...)
	if len(tail) > 0 {
		f.starts = append(f.starts, int32(n+1))
	}
	f.text = append(append(f.text[:n], blank), tail...)
	f.word.start = len(f.text)
	for i := range f.odd { // words behind the run have moved
		if o := &f.odd[i]; o.start >= end {
			o.start -= end - n - 1
			o.end -= end - n - 1
		}
	}
}
