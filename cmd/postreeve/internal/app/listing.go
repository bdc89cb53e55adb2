package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
	"github.com/postreeve/postreeve/relay/store"
)

// listing is a list of what is kept, in pages.
type listing[T any] struct {
	heads []string
	none  string // what is said when nothing fits
	ask   func(st *store.Store) ([]T, error)
	row   func(t *table, v T) (id string)
}

// print opens the store and prints what is asked for, as a table or an object a line.
func (l listing[T]) print(e *env, kept keptFlags, page pageFlags) error {
	_, st, err := kept.open(e)
	if err != nil {
		return err
	}
	defer st.Close()
	list, err := l.ask(st)
	if err != nil {
		return err
	}
	t, last := &table{}, ""
	t.row(l.heads...)
	for _, v := range list {
		if kept.JSON {
			e.out.line(v)
		} else {
			last = l.row(t, v)
		}
	}
	switch {
	case kept.JSON:
	case len(list) == 0:
		e.err.printf("%s\n", l.none)
	default:
		t.print(e.out, "")
		page.more(e, len(list), last)
	}
	return finish(e, exitOK)
}

// single is one thing of what is kept.
type single[T any] struct {
	what string // as in "there is no held message"
	find func(st *store.Store, ctx context.Context, id string) (T, error)
	gone func(e *env, st *store.Store, id string) string // what to do where there is none, begun with a colon; may be nil
	tell func(e *env, c *config.Config, st *store.Store, v T) error
}

// show opens the store and tells of what the id names.
func (s single[T]) show(e *env, kept keptFlags, id string) error {
	cfg, st, err := kept.open(e)
	if err != nil {
		return err
	}
	defer st.Close()
	v, err := s.find(st, e.ctx, id)
	if errors.Is(err, store.ErrNotFound) && s.gone != nil {
		return fmt.Errorf("%w%s", noSuch(err, s.what, id), s.gone(e, st, id))
	}
	if err != nil {
		return noSuch(err, s.what, id)
	}
	return s.tell(e, cfg, st, v)
}
