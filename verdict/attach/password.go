package attach

import (
	"errors"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/attach/internal/unpack"
)

// hints is what the texts of a message say about passwords.
type hints struct {
	given bool // one seems to be given
	words []string
}

// passwordWords announce a password, in the languages of most mail, in lower case.
var passwordWords = []string{
	"password", "passcode", "pass code", "passphrase", "passwd", "pwd", "passwort", "kennwort", "mot de passe", "contraseña", "contrasena",
	"senha", "palavra-passe", "parola d'ordine", "parola", "wachtwoord", "hasło", "haslo", "heslo", "lösenord", "adgangskode", "passord",
	"salasana", "jelszó", "şifre", "sifre", "пароль", "κωδικός", "סיסמה", "كلمة المرور", "密码", "密碼", "解压码", "パスワード", "비밀번호", "암호", "mật khẩu", "kata sandi",
	"archive key", "unlock code", "pw:", "pin:",
}

// fillers stand between the word and the password.
var fillers = setOf("is was are for to the this your our a an of open file files archive attachment document zip rar and use following as below here " +
	"ist lautet für das die der zum öffnen est pour ouvrir le la es para abrir el é o para è per il")

// commonPasswords are what people use who send harmful files to each other on purpose, tests among them.
var commonPasswords = []string{"infected", "infected-test"}

// maxPasswords is how many are tried in all.
const maxPasswords = 8

// hints reads the texts of the message, once.
func (x *scan) hints() *hints {
	if x.passwords != nil {
		return x.passwords
	}
	h := &hints{}
	x.passwords = h
	h.read(x.message.Header().Text("Subject"))
	const most = 64 << 10
	for p, err := range x.message.Parts() {
		if err != nil {
			break
		}
		if p.IsContainer() || !isBody(p) {
			continue
		}
		text, err := p.Text()
		if err != nil && !errors.Is(err, verdict.ErrTooLarge) {
			continue
		}
		text = text[:min(len(text), most)]
		if p.Declared == "text/html" {
			text = untagged(text)
		}
		h.read(text)
	}
	return h
}

// read looks for passwords in a text.
func (h *hints) read(text string) {
	lower := strings.ToLower(text)
	if len(lower) != len(text) { // lengths change for few letters; the case of a password matters more
		lower = text
	}
	for _, word := range passwordWords {
		for at := 0; ; {
			i := strings.Index(lower[at:], word)
			if i < 0 {
				break
			}
			at += i + len(word)
			h.after(text[at:min(len(text), at+120)])
		}
	}
}

// after takes what stands behind the word for a password.
func (h *hints) after(text string) {
	found := 0
	for _, w := range strings.FieldsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || strings.ContainsRune("\"'`<>“”„«»‘’=:：(){}[]|", r)
	}) {
		if fillers[strings.ToLower(w)] || strings.Trim(w, "-–—*_.,;!?#") == "" {
			continue
		}
		plain := strings.TrimRight(strings.Trim(w, "*_“”"), ".,;")
		if n := len(plain); n < 3 || n > 64 {
			found++
		} else {
			h.given = h.given || looksChosen(plain)
			h.add(plain)
			if w != plain && strings.Trim(w, "*_") != plain {
				h.add(w)
			}
			found++
		}
		if found >= 2 {
			return
		}
	}
}

// looksChosen says whether a word is no word: it has a digit, or capitals within it.
func looksChosen(s string) bool {
	if strings.ContainsFunc(s, unicode.IsDigit) {
		return true
	}
	upper := 0
	for i, r := range s {
		if i > 0 && unicode.IsUpper(r) {
			upper++
		}
	}
	return upper > 0 && upper+1 < len(s)
}

func (h *hints) add(s string) {
	for _, have := range h.words {
		if have == s {
			return
		}
	}
	if len(h.words) < maxPasswords {
		h.words = append(h.words, s)
	}
}

// untagged leaves out what stands in angle brackets.
func untagged(s string) string {
	var b strings.Builder
	for {
		text, rest, ok := strings.Cut(s, "<")
		b.WriteString(text)
		if !ok {
			return b.String()
		}
		b.WriteByte(' ')
		if _, s, ok = strings.Cut(rest, ">"); !ok {
			return b.String()
		}
	}
}

// tryPasswords returns what to try on an archive, if its format knows encryption. The texts of the message
// are read only if it looks encrypted.
func (x *scan) tryPasswords(f unpack.Format, r io.ReaderAt, size int64) []string {
	if !unpack.MayBeLocked(f, r, size) {
		return nil
	}
	words := slices.Concat(x.hints().words, x.Passwords)
	return append(words[:min(len(words), maxPasswords-len(commonPasswords))], commonPasswords...)
}
