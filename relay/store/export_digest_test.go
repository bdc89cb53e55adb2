package store

import (
	"context"
	"fmt"
	"time"
)

// AdminTicket is what is signed into a link of an administrator.
func (s *Store) AdminTicket(held, admin string, until time.Time) string {
	return s.seal(ticket{held: held, to: everyRecipient, who: admin, until: until})
}

// CountAnew counts without remembering, and returns how long each query took.
func (s *Store) CountAnew(ctx context.Context) (Counts, map[string]time.Duration, error) {
	took := make(map[string]time.Duration)
	for name, q := range countQueries {
		start := time.Now()
		rows, err := s.db.query(ctx, q)
		if err != nil {
			return Counts{}, nil, err
		}
		for rows.Next() {
		}
		if err := rows.Close(); err != nil {
			return Counts{}, nil, err
		}
		took[name] = time.Since(start)
	}
	n, err := s.count(ctx)
	return n, took, err
}

var countQueries = map[string]string{"held": countHeld, "released": countReleased, "queued": countQueued, "aside": countAside, "uncertain": countUncertain, "oldest": oldestQueued}

// CountPlans says how the database is going to count.
func (s *Store) CountPlans(ctx context.Context) (map[string][]string, error) {
	out := make(map[string][]string)
	for name, q := range countQueries {
		explain := "EXPLAIN QUERY PLAN "
		if s.db.pool != nil {
			explain = "EXPLAIN "
		}
		rows, err := s.db.query(ctx, explain+q)
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			var a, b, c int
			var line string
			if s.db.pool != nil {
				err = rows.Scan(&line)
			} else {
				err = rows.Scan(&a, &b, &c, &line)
			}
			if err != nil {
				return nil, fmt.Errorf("%w, %w", err, rows.Close())
			}
			out[name] = append(out[name], line)
		}
		if err := rows.Close(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Schema is the number of the schema.
func Schema() int { return len(migrations) }

// MigrateTo makes a database as versions before made it.
func MigrateTo(ctx context.Context, url string, schema int) error {
	d, err := openDB(ctx, url)
	if err != nil {
		return err
	}
	defer d.close()
	t, err := d.begin(ctx)
	if err != nil {
		return err
	}
	defer t.rollback(ctx)
	script := "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);\n"
	for _, m := range migrations[:schema] {
		script += m
	}
	script += fmt.Sprintf("\nINSERT INTO meta (name, value) VALUES ('schema', '%d');\n", schema)
	for stmt := range statements(script) {
		if _, err := t.exec(ctx, stmt); err != nil {
			return err
		}
	}
	return t.commit(ctx)
}
