package verdict_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

// switchable is a scanner that does what it is told at the moment.
type switchable struct {
	mu    sync.Mutex
	do    func(ctx context.Context) error
	calls int
}

func (s *switchable) Name() string { return "switchable" }

func (s *switchable) Scan(ctx context.Context, _ *verdict.Message) ([]verdict.Finding, error) {
	s.mu.Lock()
	s.calls++
	do := s.do
	s.mu.Unlock()
	return nil, do(ctx)
}

func (s *switchable) set(do func(ctx context.Context) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.do = do
}

func (s *switchable) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.calls
	s.calls = 0
	return n
}

func well(context.Context) error { return nil }

func TestBreaker(t *testing.T) {
	t.Parallel()
	down := errors.New("connection refused")
	for name, broken := range map[string]func(ctx context.Context) error{
		"error":        func(context.Context) error { return down },
		"panic":        func(context.Context) error { panic("ouch") },
		"Goexit":       func(context.Context) error { runtime.Goexit(); return nil },
		"deadline":     func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"deaf":         func(ctx context.Context) error { <-ctx.Done(); time.Sleep(time.Hour); return nil },
		"garbled text": func(context.Context) error { return fmt.Errorf("answer %q cannot be read", "x") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &switchable{do: broken}
				e := &verdict.Engine{ScannerTimeout: time.Second, Scanners: []verdict.Scanner{
					verdict.OnError(verdict.Breaker(s, 3, time.Minute), verdict.Spam), verdict.Nothing}}
				judge := func(want verdict.Class, asked int, what string) *verdict.Report {
					t.Helper()
					r := e.Judge(t.Context(), verdict.NewMessage(mail))
					synctest.Wait()
					if n := s.asked(); r.Class != want || n != asked {
						t.Errorf("%s: %v, asked %d times; want %v, %d", what, r.Class, n, want, asked)
					}
					return r
				}
				judge(verdict.Spam, 1, "first")
				judge(verdict.Spam, 1, "second")
				s.set(well)
				judge(verdict.Clean, 1, "a good one in between")
				s.set(broken)
				for range 3 {
					judge(verdict.Spam, 1, "closed")
				}
				start := time.Now()
				r := judge(verdict.Spam, 0, "open")
				if err := r.Runs[0].Err; !errors.Is(err, verdict.ErrBreakerOpen) || r.Runs[0].Outcome != verdict.Failed || time.Since(start) != 0 {
					t.Errorf("open: %v after %v, %v", r.Runs[0].Outcome, time.Since(start), err)
				}
				time.Sleep(59*time.Second + 999*time.Millisecond)
				judge(verdict.Spam, 0, "still open")
				time.Sleep(time.Second)
				judge(verdict.Spam, 1, "the trial fails")
				judge(verdict.Spam, 0, "open again")
				s.set(well)
				judge(verdict.Spam, 0, "well, and still open")
				time.Sleep(time.Minute)
				judge(verdict.Clean, 1, "the trial is answered")
				judge(verdict.Clean, 1, "closed again")
				if name == "deaf" {
					time.Sleep(2 * time.Hour)
				}
			})
		})
	}
}

// What is no fault of the engine does not open the breaker.
func TestBreakerNeutral(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(ctx context.Context) error{
		"this message": func(context.Context) error { return fmt.Errorf("x: %w", verdict.ErrUnscannable) },
		"too complex":  func(context.Context) error { return fmt.Errorf("x: %w", verdict.ErrTooComplex) },
		"cancelled":    func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &switchable{do: do}
			b := verdict.Breaker(s, 1, time.Hour)
			for range 5 {
				ctx, cancel := context.WithCancel(t.Context())
				if name == "cancelled" {
					cancel()
				}
				if _, err := b.Scan(ctx, verdict.NewMessage(mail)); err == nil || errors.Is(err, verdict.ErrBreakerOpen) {
					t.Errorf("error %v", err)
				}
				cancel()
			}
		})
	}
}

// Odd mail does not close the breaker either.
func TestBreakerOddMail(t *testing.T) {
	t.Parallel()
	s := &switchable{}
	b := verdict.Breaker(s, 2, time.Hour)
	for _, err := range []error{errors.New("down"), verdict.ErrUnscannable, errors.New("down")} {
		s.set(func(context.Context) error { return err })
		b.Scan(t.Context(), verdict.NewMessage(mail))
	}
	if _, err := b.Scan(t.Context(), verdict.NewMessage(mail)); !errors.Is(err, verdict.ErrBreakerOpen) {
		t.Errorf("two failures with odd mail between them: %v", err)
	}
}

// While one message is tried others do not wait for it; a trial that is cancelled makes room for the next.
func TestBreakerTrial(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &switchable{do: func(context.Context) error { return errors.New("down") }}
		b := verdict.Breaker(s, 1, time.Minute)
		m := verdict.NewMessage(mail)
		b.Scan(t.Context(), m)
		time.Sleep(time.Minute)
		s.set(func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { b.Scan(ctx, m) })
		synctest.Wait()
		for range 3 {
			if _, err := b.Scan(t.Context(), m); !errors.Is(err, verdict.ErrBreakerOpen) {
				t.Errorf("beside the trial: %v", err)
			}
		}
		cancel()
		wg.Wait()
		s.set(well)
		if _, err := b.Scan(t.Context(), m); err != nil {
			t.Errorf("the next trial: %v", err)
		}
	})
}

// A guard takes no power away, and settles nothing that another one has settled.
func TestGuardsCarryThrough(t *testing.T) {
	t.Parallel()
	inner := envelopes{verdict.Func("e", func(context.Context, *verdict.Message) ([]verdict.Finding, error) { return nil, errors.New("down") })}
	s := verdict.MaxSize(verdict.Cache(verdict.Breaker(verdict.OnError(inner, verdict.Malicious), 5, 0), verdict.CacheOptions{}), 1<<20, verdict.Spam)
	e := &verdict.Engine{Scanners: []verdict.Scanner{s}}
	if !e.JudgesEnvelopes() || verdict.HasEnvelope(verdict.Cache(verdict.Breaker(verdict.Nothing, 1, 0), verdict.CacheOptions{})) {
		t.Error("a guard changes who looks at envelopes")
	}
	for range 2 {
		m := &verdict.Message{Envelope: verdict.Envelope{From: "bad@example.org"}}
		if r := e.JudgeEnvelope(t.Context(), m); r.Class != verdict.Spam {
			t.Errorf("envelope: %v", r.Class)
		}
		if r := e.JudgeEnvelope(t.Context(), new(verdict.Message)); r.Class != verdict.Clean {
			t.Errorf("another envelope: %v", r.Class)
		}
	}
	if r := e.Judge(t.Context(), verdict.NewMessage(mail)); r.Class != verdict.Malicious || s.Name() != "e" {
		t.Errorf("%v by %s", r.Class, s.Name())
	}
}

// envelopes objects to a sender.
type envelopes struct{ verdict.Scanner }

func (envelopes) ScanEnvelope(_ context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	if strings.HasPrefix(m.Envelope.From, "bad@") {
		return []verdict.Finding{{Code: "e.bad", Class: verdict.Spam}}, nil
	}
	return nil, nil
}

// oracle asks an engine over TCP and believes it whole: "clean\n" is the only answer that is one.
func oracle(addr net.Addr) verdict.Scanner {
	return verdict.Func("oracle", func(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, addr.Network(), addr.String())
		if err != nil {
			return nil, err
		}
		defer c.Close()
		if end, ok := ctx.Deadline(); ok {
			c.SetDeadline(end)
		}
		stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
		defer stop()
		fmt.Fprintf(c, "judge\n")
		line, err := bufio.NewReaderSize(c, 64).ReadSlice('\n')
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil || string(line) != "clean\n" {
			return nil, fmt.Errorf("answer %.20q: %v", line, err)
		}
		return nil, nil
	})
}

func startOracle(t *testing.T) net.Addr {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if _, err := bufio.NewReader(c).ReadString('\n'); err == nil {
					c.Write([]byte("clean\n"))
				}
			}()
		}
	}()
	return ln.Addr()
}

// A dead, slow, garbling or resetting engine gives the configured class, its breaker opens, mail that has another
// engine is judged as ever, and when the engine is well again the breaker closes.
func TestBrokenEngine(t *testing.T) {
	t.Parallel()
	const reply = int64(len("clean\n"))
	for _, f := range append(verdicttest.Faults(reply), verdicttest.Fault{Kind: verdicttest.Drip, Delay: time.Hour}) {
		for _, class := range []verdict.Class{verdict.Unknown, verdict.Spam} {
			t.Run(fmt.Sprintf("%v, %v", f, class), func(t *testing.T) {
				t.Parallel()
				const pause = 100 * time.Millisecond
				server := verdicttest.NewFaultServer(t, startOracle(t))
				guarded := func(a net.Addr) verdict.Scanner {
					return verdict.OnError(verdict.Breaker(verdict.Deadline(oracle(a), 50*time.Millisecond), 2, pause), class)
				}
				broken := &verdict.Engine{Scanners: []verdict.Scanner{guarded(server.Addr()), verdict.Nothing}}
				other := &verdict.Engine{Scanners: []verdict.Scanner{verdict.Deadline(oracle(startOracle(t)), 10*time.Second)}}
				judge := func(e *verdict.Engine) *verdict.Report { return e.Judge(t.Context(), verdict.NewMessage(mail)) }

				server.Set(f)
				opened := false
				for range 20 {
					r := judge(broken)
					if r.Class != class {
						t.Fatalf("%v, want %v: %+v", r.Class, class, r.Runs[0].Err)
					}
					if opened = errors.Is(r.Runs[0].Err, verdict.ErrBreakerOpen); opened {
						break
					}
				}
				if !opened {
					t.Error("the breaker did not open")
				}
				if r := judge(other); r.Class != verdict.Clean {
					t.Errorf("another engine: %v, %v", r.Class, r.Runs[0].Err)
				}
				server.Set(verdicttest.Fault{})
				for end := time.Now().Add(2 * time.Minute); judge(broken).Class != verdict.Clean; time.Sleep(pause / 10) {
					if time.Now().After(end) {
						t.Fatal("the breaker does not close")
					}
				}
			})
		}
	}
}
