package store_test

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// How long it takes to look into a large store, and how much disk that needs. FIGURES=1 runs it with a million rows
// of the ledger and a hundred thousand held messages; ROWS is another number of rows.
func TestFigures(t *testing.T) {
	if os.Getenv("FIGURES") == "" {
		t.Skip("FIGURES=1 fills a large store and measures")
	}
	rows, err := strconv.Atoi(cmp.Or(os.Getenv("ROWS"), "1000000"))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range backends[:2] {
		t.Run(b.name, func(t *testing.T) {
			c := b.config(t)
			s := open(t, c)
			fill(t, s, rows, rows/10)
			measure(t, s, rows)
			if c.Dir != "" {
				t.Logf("disk: rows %.1f MB, bodies %.1f MB in files", size(t, filepath.Join(c.Dir, "postreeve.db"))/1e6, size(t, filepath.Join(c.Dir, "bodies"))/1e6)
			}
		})
	}
}

func fill(t *testing.T, s *store.Store, rows, held int) {
	t.Helper()
	start := time.Now()
	report := &verdict.Report{Class: verdict.Spam, Findings: []verdict.Finding{
		{Scanner: "mailauth", Code: "auth.dmarc_fail", Class: verdict.Spam, Score: 3, Detail: "DMARC policy of ex.org says reject"},
		{Scanner: "links", Code: "link.mismatch", Class: verdict.Spam, Score: 2, Detail: "the text names another host than the link"},
	}}
	var wg sync.WaitGroup
	const writers = 200
	for w := range writers {
		wg.Go(func() {
			for i := w; i < rows; i += writers {
				d := &relay.Domain{Name: fmt.Sprintf("d%d.example", i%50), Tenant: "t"}
				m := verdict.NewMessage(verdict.Bytes(fmt.Sprintf("From: Sender %d <s%d@ex.org>\r\nSubject: invoice number %d\r\nMessage-ID: <%d@ex.org>\r\n\r\nbody\r\n", i, i, i, i)))
				m.ID, m.Received = fmt.Sprintf("%016d", i), time.Now()
				m.Envelope = verdict.Envelope{From: fmt.Sprintf("s%d@ex.org", i), To: []verdict.Recipient{{Address: fmt.Sprintf("user%d@%s", i%5000, d.Name)}}}
				o := relay.Outcome{ID: m.ID, Domain: d.Name, Size: 10240, Class: verdict.Spam, Action: relay.Tag, Reply: &relay.Reply{Code: 250, Text: "ok"}, Hop: "mx 250", Report: report}
				if err := s.RecordMessage(t.Context(), d, m, o); err != nil {
					t.Error(err)
					return
				}
				if i%(rows/held) == 0 {
					if _, err := s.Hold(t.Context(), d, m, report); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d rows and %d held written in %v", rows, held, time.Since(start).Round(time.Millisecond))
}

func measure(t *testing.T, s *store.Store, rows int) {
	t.Helper()
	some := rows / 2
	for _, q := range []struct {
		name string
		do   func(ctx context.Context) (int, error)
	}{
		{"ledger: list newest 100", ledger(s, store.Filter{})},
		{"ledger: list a domain", ledger(s, store.Filter{Domain: "d7.example"})},
		{"ledger: by Message-ID", ledger(s, store.Filter{MessageID: fmt.Sprintf("%d@ex.org", some)})},
		{"ledger: sender, found in one row", ledger(s, store.Filter{Sender: fmt.Sprintf("s%d@", some)})},
		{"ledger: subject, found in no row", ledger(s, store.Filter{Subject: "no such subject"})},
		{"ledger: recipient, found often", ledger(s, store.Filter{Recipient: "user42@"})},
		{"ledger: recipient in a domain", ledger(s, store.Filter{Recipient: "user42@", Domain: "d42.example"})},
		{"ledger: show", func(ctx context.Context) (int, error) {
			_, err := s.Message(ctx, fmt.Sprintf("%016d", some))
			return 1, err
		}},
		{"held: list newest 100", held(s, store.Filter{})},
		{"held: a domain", held(s, store.Filter{Domain: "d0.example"})},
		{"held: recipient", held(s, store.Filter{Recipient: "user40@"})},
		{"held: subject, found in no row", held(s, store.Filter{Subject: "no such subject"})},
		{"held: show", func(ctx context.Context) (int, error) {
			_, err := s.HeldMessage(ctx, fmt.Sprintf("%016d", 0))
			return 1, err
		}},
	} {
		best, n := time.Hour, 0
		for range 3 {
			start := time.Now()
			var err error
			if n, err = q.do(t.Context()); err != nil {
				t.Fatalf("%s: %v", q.name, err)
			}
			best = min(best, time.Since(start))
		}
		t.Logf("%-36s %9.2f ms  %d rows", q.name, float64(best.Microseconds())/1000, n)
	}
}

func ledger(s *store.Store, f store.Filter) func(ctx context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		list, err := s.Messages(ctx, f)
		return len(list), err
	}
}

func held(s *store.Store, f store.Filter) func(ctx context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		list, err := s.HeldMessages(ctx, store.StateHeld, f)
		return len(list), err
	}
}

func size(t *testing.T, root string) float64 {
	t.Helper()
	sum := int64(0)
	err := filepath.WalkDir(root, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		fi, err := d.Info()
		if err == nil {
			sum += fi.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return float64(sum)
}
