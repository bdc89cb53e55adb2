package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// markName is where a place for bodies says whose it is, and which: a digest that only this database can make, and a
// name that the database knows. A sweep with the rows of another database would delete all bodies; and a place that
// is empty, since something is not mounted or the prefix is another, would lose all messages that have a row.
const markName = "postreeve-store"

// freshMark is what somebody writes there to say that a place is empty on purpose.
const freshMark = "new"

// marker is what bodies can do that have a place of their own.
type marker interface {
	marked(ctx context.Context) (string, error) // "" without a mark
	setMark(ctx context.Context, mark string) error
}

// openMark makes sure that the bodies are those of this database, and marks a new place.
func (s *Store) openMark(ctx context.Context) error {
	m, ok := s.bodies.(marker)
	if !ok {
		return nil
	}
	t, err := s.db.begin(ctx)
	if err != nil {
		return err
	}
	defer t.rollback(ctx)
	var secret string // nodes that start together do this one after the other
	if err := t.queryRow(ctx, "SELECT value FROM meta WHERE name = 'secret'"+s.db.lock()).Scan(&secret); err != nil {
		return err
	}
	known, err := knownPlace(t.queryRow(ctx, selectPlace))
	if err != nil {
		return err
	}
	have, err := m.marked(ctx)
	if err != nil {
		return fmt.Errorf("store: bodies: %w", err)
	}
	have = strings.TrimSpace(have)
	_, id, _ := strings.Cut(have, " ")
	switch err := s.judgeMark(known, have); {
	case have == freshMark || known == "" && id == "" && err == nil:
		id = rand.Text()
	case have == "" && known == "":
		if err := s.anyBody(ctx, t); err != nil {
			return err
		}
		id = rand.Text()
	case err != nil:
		return err
	}
	s.place.id = id
	if mark := s.markOf(id); mark != have {
		if err := m.setMark(ctx, mark); err != nil {
			return fmt.Errorf("store: bodies: %w", err)
		}
	}
	if id == known {
		return nil
	}
	if err := t.put(ctx, "INSERT INTO meta (name, value) VALUES ('bodies', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", id); err != nil {
		return err
	}
	return t.commit(ctx)
}

const selectPlace = "SELECT value FROM meta WHERE name = 'bodies'"

// knownPlace is the name of the place that the database knows, or empty.
func knownPlace(r interface{ Scan(dst ...any) error }) (string, error) {
	var id string
	err := r.Scan(&id)
	return id, ignore(err, sql.ErrNoRows)
}

func (s *Store) markOf(id string) string { return s.sign("bodies", "") + " " + id }

// judgeMark says what is wrong with a place that has this mark, where the database knows one of this name, or none.
func (s *Store) judgeMark(known, have string) error {
	where := redactURL(s.config.Bodies)
	sum, id, _ := strings.Cut(have, " ")
	switch {
	case have == "":
		return fmt.Errorf("store: the bodies at %s do not say whose they are, since %q is missing there: is something not mounted, or the prefix another one? "+
			"If they are lost, or the place is a new one and empty on purpose, write the word %q to %q there and start the gateway again", where, markName, freshMark, markName)
	case sum != s.sign("bodies", ""):
		return fmt.Errorf("store: the bodies at %s belong to another database: give this one a place of its own, or, if you are sure, write the word %q to %q there", where, freshMark, markName)
	case known != "" && id != known:
		return fmt.Errorf("store: the bodies at %s are not those that this database knows: nodes that share a database share the bodies too, in an object store or on a common file system. "+
			"If the bodies were moved here on purpose, write the word %q to %q there", where, freshMark, markName)
	}
	return nil
}

// anyBody is an error if a row names a body, of which there can be none in a place without a mark.
func (s *Store) anyBody(ctx context.Context, t *tx) error {
	for _, table := range []string{"queued", "held"} {
		var id string
		err := t.queryRow(ctx, "SELECT id FROM "+table+" WHERE body <> '' LIMIT 1").Scan(&id)
		if err == nil {
			return s.judgeMark("", "")
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
	}
	return nil
}

// place is what is known about the place of the bodies while it is used.
type place struct {
	id string // empty: it has none

	mu      sync.Mutex
	missing int // bodies that were not there, one after the other
}

// mostMissing is how many bodies may be missing one after the other, where others are expected.
const mostMissing = 3

// bodyGone says of what Get has returned whether all bodies are gone with their place, and not one: then it is the
// store that does not work, and no row has to be set aside. It has to be told of nil too.
func (s *Store) bodyGone(err error) bool {
	s.place.mu.Lock()
	switch {
	case err == nil:
		s.place.missing = 0
	case errors.Is(err, ErrNoBody):
		s.place.missing++
	}
	missing := s.place.missing
	s.place.mu.Unlock()
	if !errors.Is(err, ErrNoBody) {
		return false
	}
	m, ok := s.bodies.(marker)
	if !ok || s.place.id == "" {
		return missing > mostMissing
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	have, err := m.marked(ctx)
	if err != nil || strings.TrimSpace(have) != s.markOf(s.place.id) {
		return true
	}
	// Many, in a place that is the right one: restored from an older copy, for one. If it works, it is these that are
	// missing, and those behind them go on.
	return missing > mostMissing && s.checkBodies(ctx) != nil
}
