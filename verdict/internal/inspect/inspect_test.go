package inspect_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict/internal/inspect"
)

func TestBudgetLimits(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		lim  inspect.Limits
		use  func(*inspect.Budget) error
		ok   bool
	}{
		{"objects at the limit", inspect.Limits{Objects: 3}, times(3, (*inspect.Budget).Object), true},
		{"objects", inspect.Limits{Objects: 3}, times(4, (*inspect.Budget).Object), false},
		{"bytes at the limit", inspect.Limits{Bytes: 10}, func(b *inspect.Budget) error { return b.Spend(10) }, true},
		{"bytes", inspect.Limits{Bytes: 10}, func(b *inspect.Budget) error { return b.Spend(11) }, false},
		{"kept", inspect.Limits{Kept: 10}, func(b *inspect.Budget) error { return b.Keep(11) }, false},
		{"kept and given back", inspect.Limits{Kept: 10}, func(b *inspect.Budget) error {
			return errors.Join(b.Keep(10), b.Keep(-5), b.Keep(5))
		}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := tt.use(inspect.NewBudget(t.Context(), tt.lim))
			if (err == nil) != tt.ok || err != nil && !errors.Is(err, inspect.ErrLimit) {
				t.Errorf("got %v, want ok %v", err, tt.ok)
			}
		})
	}
}

func times(n int, f func(*inspect.Budget) error) func(*inspect.Budget) error {
	return func(b *inspect.Budget) error {
		for range n {
			if err := f(b); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestBudgetEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	b := inspect.NewBudget(ctx, inspect.Limits{})
	cancel()
	err := times(1000, (*inspect.Budget).Step)(b)
	if !errors.Is(err, inspect.ErrLimit) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want a limit that says why", err)
	}
}

func TestReadAll(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 4095, 4096, 4097, 100_000} {
		for _, hint := range []int64{0, 1, int64(size), 1 << 20} {
			want := bytes.Repeat([]byte{'x'}, size)
			b := inspect.NewBudget(t.Context(), inspect.Limits{})
			got, err := b.ReadAll(iotest.HalfReader(bytes.NewReader(want)), hint)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes with hint %d: %d bytes, %v", size, hint, len(got), err)
			}
		}
	}
	b := inspect.NewBudget(t.Context(), inspect.Limits{Kept: 1000})
	if got, err := b.ReadAll(strings.NewReader(strings.Repeat("x", 5000)), 0); !errors.Is(err, inspect.ErrLimit) {
		t.Errorf("%d bytes, %v, want a limit", len(got), err)
	}
}

func TestLimited(t *testing.T) {
	t.Parallel()
	if got, err := io.ReadAll(inspect.Limited(strings.NewReader("12345"), 5)); err != nil || string(got) != "12345" {
		t.Errorf("at the limit: %q, %v", got, err)
	}
	got, err := io.ReadAll(inspect.Limited(iotest.OneByteReader(strings.NewReader("123456")), 5))
	if !errors.Is(err, inspect.ErrLimit) || string(got) != "12345" {
		t.Errorf("above the limit: %q, %v", got, err)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	// Words at, across and behind the borders of the window.
	var want []string
	data := bytes.Repeat([]byte{'.'}, 200_000)
	for i, at := range []int{0, 65400, 65470, 65530, 131000, 199_990} {
		w := []string{"alpha", "beta"}[i%2]
		copy(data[at:], w)
		want = append(want, fmt.Sprint(at, i%2))
	}
	var got []string
	b := inspect.NewBudget(t.Context(), inspect.Limits{})
	err := b.Find(bytes.NewReader(data), int64(len(data)), []string{"alpha", "beta"}, func(pos int64, word int) error {
		got = append(got, fmt.Sprint(pos, word))
		return nil
	})
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got)\n%s", err, diff)
	}
}

func TestRecover(t *testing.T) {
	t.Parallel()
	f := func() (err error) {
		defer inspect.Recover(&err)
		panic("no such thing")
	}
	if err := f(); !errors.Is(err, inspect.ErrFormat) || !strings.Contains(err.Error(), "no such thing") {
		t.Errorf("got %v", err)
	}
}

func TestFileWithoutContent(t *testing.T) {
	t.Parallel()
	if _, err := (inspect.File{Name: "a"}).Open(); !errors.Is(err, inspect.ErrFormat) {
		t.Errorf("got %v", err)
	}
}
