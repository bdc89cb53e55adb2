package smtpwire_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/postreeve/postreeve/relay/internal/smtpwire"
)

func TestChecker(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in, want, fault  string
		mended, mendedNo string // with normalize: the content, or the fault
	}{
		{in: "", mended: ""},
		{in: "a\r\n.\r\n", want: "a\r\n.\r\n", mended: "a\r\n.\r\n"},
		{in: "a", want: "a", mended: "a"},
		{in: "a\nb", fault: "bare LF in line 1 of the message (offset 1)", mended: "a\r\nb"},
		{in: "a\r\r\nb\r", fault: "bare CR in line 1 of the message (offset 1)", mended: "a\r\n\r\nb\r\n"},
		{in: "a\r", fault: "bare CR in line 1 of the message (offset 1)", mended: "a\r\n"},
		{in: strings.Repeat("x\n", 30_000), fault: "bare LF in line 1 of the message (offset 1)", mended: strings.Repeat("x\r\n", 30_000)},
		{in: "a\x00", fault: "NUL in line 1 of the message (offset 1)", mendedNo: "NUL in line 1 of the message (offset 1)"},
		{in: strings.Repeat("x", 17), fault: "line too long in line 1 of the message (offset 16)", mendedNo: "line too long in line 1 of the message (offset 16)"},
	} {
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"plain": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader, "data with EOF": iotest.DataErrReader,
		} {
			check(t, name, smtpwire.NewChecker(wrap(strings.NewReader(c.in)), lineBound, false), c.in, c.want, c.fault)
			check(t, name+", normalize", smtpwire.NewChecker(wrap(strings.NewReader(c.in)), lineBound, true), c.in, c.mended, c.mendedNo)
		}
	}
}

func check(t *testing.T, name string, r io.Reader, in, want, fault string) {
	t.Helper()
	got, err := io.ReadAll(r)
	if fault == "" && (err != nil || string(got) != want) {
		t.Errorf("%s: %q gave %q, %v; want %q", name, in, got, err, want)
	}
	if fault != "" && (err == nil || err.Error() != fault) {
		t.Errorf("%s: %q gave %q, %v; want %s", name, in, got, err, fault)
	}
	if _, again := r.Read(make([]byte, 1)); fault != "" && !errors.Is(again, err) {
		t.Errorf("%s: %q: the next Read gave %v, want %v again", name, in, again, err)
	}
}
