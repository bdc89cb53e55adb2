package store_test

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

func TestCounts(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c)
		ctx := t.Context()
		if got, err := s.Counts(ctx); err != nil || got != (store.Counts{}) {
			t.Fatalf("of nothing: %+v, %v", got, err)
		}
		d := &relay.Domain{Name: "ex.net"}
		for _, id := range []string{"h1", "h2", "h3", "h4"} {
			if _, err := s.Hold(ctx, d, message(id, "b@ex.net", "c@ex.net"), &verdict.Report{Class: verdict.Spam}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := s.Release(ctx, store.Release{ID: "h1", Who: "admin", Deliver: deliverBy(&hop{})}); err != nil {
			t.Fatal(err)
		}
		if err := s.DeleteHeld(ctx, "h2", "admin"); err != nil {
			t.Fatal(err)
		}
		if err := s.Exec(ctx, "UPDATE held_recipient SET state = 'uncertain' WHERE held = 'h3' AND n = 0"); err != nil {
			t.Fatal(err)
		}
		start := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
		for i := range 6 {
			m := message(fmt.Sprintf("q%d", i), "b@ex.net")
			if err := s.Enqueue(ctx, &relay.Domain{Name: fmt.Sprintf("d%d.example", i%3)}, m, m.Envelope, m, ""); err != nil {
				t.Fatal(err)
			}
			if err := s.Exec(ctx, "UPDATE queued SET at = ? WHERE id = ?", start.Add(time.Duration(i)*time.Minute).UnixMilli(), m.ID); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Exec(ctx, "UPDATE queued SET state = 'aside' WHERE id IN ('q0', 'q3')"); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Counts(ctx); err != nil || got != (store.Counts{}) {
			t.Errorf("a moment later it is what was counted last: %+v, %v", got, err)
		}
		size := int64(len(mail))
		want := store.Counts{
			Held: 2, HeldBytes: 3 * size, Uncertain: 1,
			Queued: 4, QueuedBytes: 6 * size, Oldest: start.Add(time.Minute).UTC(), Aside: 2,
		}
		got, _, err := s.CountAnew(ctx)
		if diff := gocmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("counts (-want +got):\n%s%v", diff, err)
		}
	})
}

// No count reads a table: of rows there may be millions, and they are large.
func TestCountPlans(t *testing.T) {
	t.Parallel()
	s := open(t, store.Config{})
	plans, err := s.CountPlans(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, lines := range plans {
		for _, line := range lines {
			reads := strings.HasPrefix(line, "SCAN") || strings.HasPrefix(line, "SEARCH")
			if reads && !slices.Contains([]string{"SCAN d", "SEARCH d", "SCAN h", "SCAN q"}, line) && !strings.Contains(line, "COVERING INDEX") && !strings.Contains(line, "INDEX queued_order") || strings.Contains(line, "TEMP B-TREE") {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
}

// How long counting takes. FIGURES=1 counts a million held and a million queued messages; ROWS is another number.
func TestCountFigures(t *testing.T) {
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
			numbers := fmt.Sprintf("WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < %d) ", rows-1)
			filler := "'" + strings.Repeat("x", 1000) + "'"
			for _, stmt := range []string{
				"INSERT INTO held (id, at, expires, tenant, domain, mail_from, author, subject, message_id, size, class, envelope, client, report, body, state) " + numbers +
					"SELECT 'h' || i, i, i, '', 'd' || (i % 1000) || '.example', 'a@b.c', 'a@b.c', 'x', '<x>', 10240, 'spam', '{}', '{}', " + filler + ", 'x', CASE WHEN i % 10 = 0 THEN 'released' ELSE 'held' END FROM n",
				"INSERT INTO held_recipient (held, n, address, state, at, detail) " + numbers + "SELECT 'h' || i, 0, 'u' || i || '@ex.net', 'held', i, '' FROM n",
				"INSERT INTO queued (id, at, expires, domain, mail_from, envelope, size, body, attempts, due, claimed, claimant, warned, state, last) " + numbers +
					"SELECT 'q' || i, i + 1, i, 'd' || (i % 1000) || '.example', 'a@b.c', " + filler + ", 10240, 'x', 0, i, 0, '', 0, 'waiting', '' FROM n",
			} {
				if err := s.Exec(t.Context(), stmt); err != nil {
					t.Fatal(err)
				}
			}
			if c.Dir == "" { // autovacuum does this in time; until then every count of PostgreSQL reads the rows
				for _, table := range []string{"held", "queued"} {
					if err := s.Exec(t.Context(), "VACUUM ANALYZE "+table); err != nil {
						t.Fatal(err)
					}
				}
			}
			for range 3 {
				start := time.Now()
				n, took, err := s.CountAnew(t.Context())
				if err != nil || n.Queued != int64(rows) || n.Held != int64(rows-rows/10) {
					t.Fatalf("%+v, %v", n, err)
				}
				t.Logf("%v, of it %v", time.Since(start)/2, took)
			}
		})
	}
}
