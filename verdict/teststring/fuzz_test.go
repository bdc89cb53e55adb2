package teststring_test

import (
	"testing"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/teststring"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

// FuzzScan looks for panics, for answers that take too long, and for strings that are lost: what is in
// front of anything at all is found, even if the rest is an archive that is broken.
func FuzzScan(f *testing.F) {
	for _, data := range [][]byte{
		zipped(f, file{"a", []byte(teststring.EICAR())}, file{"b", noise(100)}),
		tarred(f, file{"a", []byte(teststring.EICAR())}),
		gzipped(f, tarred(f, file{"a", []byte(teststring.GTUBE)})),
		zipped(f, file{"a.zip", zipped(f, file{"a", nil})}),
		overlap(f),
		append(noise(100), zipped(f, file{"a", nil})...),
	} {
		f.Add(data)
	}
	s := teststring.Scanner{Time: 500 * time.Millisecond, Output: 4 << 20}
	f.Fuzz(func(t *testing.T, data []byte) {
		start := time.Now()
		m := verdicttest.Mail{Attach: []verdicttest.Attachment{
			{Data: data},
			{Data: append([]byte(teststring.GTUBE), data...), Encoding: "8bit"},
		}}.Message(t)
		fs, _ := s.Scan(t.Context(), m)
		found := false
		for _, f := range fs {
			found = found || f.Code == verdict.CodeTestGTUBE
		}
		if !found {
			t.Error("GTUBE is lost")
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("took %v", took)
		}
	})
}
