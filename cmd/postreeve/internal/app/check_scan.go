package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/teststring"
)

// scanners sends the test strings through the engine as a gateway would, and looks at what each scanner
// did and at what came out.
func (k *checker) scanners(ctx context.Context) []checked {
	engine, err := newEngine(k.cfg, engineParts{resolver: addresses{newDNS(k.cfg, nil)}})
	if err != nil {
		return one("scanner", "settings", stateFail, err.Error(), "the files and secrets of scanners have to be readable for the user that runs the gateway")
	}
	if len(engine.Scanners) == 1 && engine.Scanners[0] == verdict.Nothing {
		return one("scanner", "none", stateWarn, "nothing is judged: every message is called clean", "take scanners: [] out to use all that are built in")
	}
	tests := []struct {
		name string
		text string
		want verdict.Class
	}{
		{"clean text", "nothing to see\r\n", verdict.Clean},
		{"GTUBE", teststring.GTUBE + "\r\n", verdict.Spam},
		{"EICAR", teststring.EICAR(), verdict.Malicious},
	}
	var out []checked
	failed := map[string]error{}
	slowest := map[string]time.Duration{}
	var wrong []checked
	for _, t := range tests {
		m := verdict.NewMessage(verdict.Bytes("From: <check@" + k.cfg.Hostname + ">\r\nTo: <check@" + k.cfg.Hostname + ">\r\nDate: " + time.Now().Format(time.RFC1123Z) + "\r\nMessage-ID: <check@" + k.cfg.Hostname + ">\r\nSubject: check\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n" + t.text))
		m.ID, m.Received = "check", time.Now()
		r := engine.Judge(ctx, m)
		for _, run := range r.Runs {
			slowest[run.Scanner] = max(slowest[run.Scanner], run.Took)
			if run.Err != nil {
				failed[run.Scanner] = run.Err
			}
		}
		if s := judgeSample(k.hasTestStrings(), t.name, t.want, r.Class); s.State != "" {
			wrong = append(wrong, s)
		}
	}
	for _, s := range engine.Scanners {
		name := s.Name()
		if err := failed[name]; err != nil {
			out = append(out, one("scanner", name, stateFail, firstLine(err), "while it fails, messages are what on-error says: unknown, if nothing")...)
			continue
		}
		out = append(out, one("scanner", name, stateOK, fmt.Sprintf("answers within %v", slowest[name].Round(10*time.Microsecond)), "")...)
	}
	if len(wrong) == 0 {
		wrong = one("scanner", "samples", stateOK, "clean text, GTUBE and EICAR were judged as they should be", "")
	}
	return append(out, wrong...)
}

// judgeSample says what is wrong with the class of a test message. The zero value: nothing.
func judgeSample(tested bool, name string, want, got verdict.Class) checked {
	switch {
	case got == want:
		return checked{}
	case got == verdict.Unknown:
		return one("scanner", name, stateFail, "nobody could tell what it is", "mail like this is deferred, by default: look at the scanners that failed or have no vote")[0]
	case !tested:
		return one("scanner", name, stateWarn, fmt.Sprintf("judged %v, and %v by those who know it", got, want), "no scanner looks for test strings: add teststring to scanners")[0]
	}
	return one("scanner", name, stateFail, fmt.Sprintf("judged %v instead of %v", got, want), "the scanners do not find what every scanner should")[0]
}

// hasTestStrings says whether the scanner for test strings has a vote.
func (k *checker) hasTestStrings() bool {
	if k.cfg.Scanners == nil {
		return true
	}
	for _, s := range k.cfg.Scanners {
		if s.Name == (teststring.Scanner{}).Name() {
			return !s.Monitor
		}
	}
	return false
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
