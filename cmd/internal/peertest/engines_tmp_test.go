package peertest

import (
	"testing"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/milter"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

func TestTmp(t *testing.T) {
	_, key := signedForMilter(t)
	addr := opendkim(t, key)
	s := &milter.Scanner{Address: addr.String()}
	for name, raw := range verdicttest.Hostile() {
		m := verdict.NewMessage(verdict.Bytes(raw))
		start := time.Now()
		fs, err := s.Scan(soon(t), m)
		t.Logf("%s %v %v %v", name, time.Since(start).Round(time.Millisecond), len(fs), err)
	}
}
