package verdicttest_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/verdicttest"
)

type scanFunc = func(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error)

// local is a scanner in process as it should be done: it finds GTUBE.
func local(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	r, err := m.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var text bytes.Buffer
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if _, err := io.CopyN(&text, r, 64<<10); err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
	}
	if opinion(text.Bytes()) == "HIT" {
		return []verdict.Finding{{Code: "local.hit", Class: verdict.Spam}}, nil
	}
	return nil, nil
}

func localSuite(scan scanFunc) verdicttest.Suite {
	return verdicttest.Suite{
		New:  func(testing.TB, net.Addr) verdict.Scanner { return verdict.Func("local", scan) },
		Hit:  verdicttest.Spam,
		Want: verdict.Spam,
	}
}

func TestRunLocal(t *testing.T) {
	t.Parallel()
	verdicttest.Run(t, localSuite(local))
}

func TestRunStructure(t *testing.T) {
	t.Parallel()
	verdicttest.Run(t, verdicttest.Suite{
		New: func(testing.TB, net.Addr) verdict.Scanner { return verdict.Structure{} },
		Hit: func(tb testing.TB) *verdict.Message {
			return verdicttest.New(tb, "Subject: a\nSubject: b\nContent-Type: multipart/mixed; boundary=b\n\nno parts\n")
		},
	})
}

func TestRunEngines(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]verdicttest.Suite{
		"tcp":  {New: lineScanner, Engine: lineEngine("tcp")},
		"unix": {New: lineScanner, Engine: lineEngine("unix")},
		"http": {New: httpScanner, Engine: httpEngine},
	} {
		s.Hit, s.Want, s.Patience = verdicttest.Spam, verdict.Spam, 100*time.Millisecond
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			verdicttest.Run(t, s)
		})
	}
}

// recorder is a test that may fail.
type recorder struct {
	testing.TB
	mu      sync.Mutex
	log     strings.Builder
	failed  bool
	skipped bool
}

func (r *recorder) Helper() {}

func (r *recorder) Error(args ...any) { r.Errorf("%s", fmt.Sprint(args...)) }

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = true
	fmt.Fprintf(&r.log, format+"\n", args...)
}

func (r *recorder) Fatal(args ...any) { r.Error(args...); runtime.Goexit() }

func (r *recorder) Fatalf(format string, args ...any) { r.Errorf(format, args...); runtime.Goexit() }

func (r *recorder) Skip(...any) { r.skipped = true; runtime.Goexit() }

// result returns what was reported so far: what a broken scanner has left behind may still report.
func (r *recorder) result() (log string, failed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String(), r.failed
}

// record runs f, which may end its goroutine.
func record(t *testing.T, f func(tb testing.TB)) *recorder {
	r := &recorder{TB: t}
	var wg sync.WaitGroup
	wg.Go(func() { f(r) })
	wg.Wait()
	return r
}

// checkFails fails the test unless the check fails.
func checkFails(t *testing.T, s verdicttest.Suite, name string) {
	t.Helper()
	r := record(t, func(tb testing.TB) {
		if !verdicttest.RunCheck(tb, s, name) {
			t.Errorf("there is no check %q", name)
		}
	})
	log, failed := r.result()
	if !failed {
		t.Errorf("the scanner passes the check %q", name)
	}
	t.Logf("%.300s", log)
}

// Every check finds the scanner that it is there for.
func TestBrokenScanners(t *testing.T) {
	t.Parallel()
	finding := func(f verdict.Finding) scanFunc {
		return func(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
			fs, err := local(ctx, m)
			return append(fs, f), err
		}
	}
	for _, tt := range []struct {
		name  string
		check string
		scan  func(t *testing.T) scanFunc
	}{
		{"calls everything bad", "clean", func(*testing.T) scanFunc { return finding(verdict.Finding{Code: "a.b", Class: verdict.Spam}) }},
		{"fails", "clean", func(*testing.T) scanFunc {
			return func(context.Context, *verdict.Message) ([]verdict.Finding, error) { return nil, io.EOF }
		}},
		{"finds nothing", "hit", func(*testing.T) scanFunc {
			return func(context.Context, *verdict.Message) ([]verdict.Finding, error) { return nil, nil }
		}},
		{"code in upper case", "clean", func(*testing.T) scanFunc { return finding(verdict.Finding{Code: "A.B"}) }},
		{"code without detail", "clean", func(*testing.T) scanFunc { return finding(verdict.Finding{Code: "virus"}) }},
		{"no class", "hostile", func(*testing.T) scanFunc { return finding(verdict.Finding{Code: "a.b", Class: 4}) }},
		{"no number", "hit", func(*testing.T) scanFunc { return finding(verdict.Finding{Code: "a.b", Score: math.NaN()}) }},
		{"remembers", "same answer", func(*testing.T) scanFunc {
			var n atomic.Int64
			return func(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
				if n.Add(1) == 3 {
					return nil, nil
				}
				return finding(verdict.Finding{Code: "a.b"})(ctx, m)
			}
		}},
		{"mixes messages up", "side by side", func(*testing.T) scanFunc {
			var last atomic.Pointer[[]verdict.Finding]
			return func(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
				fs, err := local(ctx, m)
				last.Store(&fs)
				runtime.Gosched()
				return *last.Load(), err
			}
		}},
		{"clean when the time is over", "context ended", func(*testing.T) scanFunc {
			return func(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
				if ctx.Err() != nil {
					return nil, nil
				}
				return local(ctx, m)
			}
		}},
		{"clean when the time ends", "context ends", func(*testing.T) scanFunc {
			return func(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
				fs, err := local(ctx, m)
				if ctx.Err() != nil {
					return nil, nil
				}
				return fs, err
			}
		}},
		{"deaf", "deadline", func(t *testing.T) scanFunc {
			release := make(chan struct{})
			t.Cleanup(func() { close(release) })
			return func(context.Context, *verdict.Message) ([]verdict.Finding, error) {
				<-release
				return nil, nil
			}
		}},
		{"leaves a reader open", "borrowed", func(*testing.T) scanFunc {
			return func(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
				m.Open()
				return local(ctx, m)
			}
		}},
		{"keeps the message", "borrowed", func(*testing.T) scanFunc {
			var last atomic.Pointer[verdict.Message]
			return func(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
				if old := last.Swap(m); old != nil && old != m {
					local(ctx, old)
				}
				return local(ctx, m)
			}
		}},
		{"reads on", "borrowed", func(*testing.T) scanFunc {
			return func(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
				go func() {
					time.Sleep(20 * time.Millisecond)
					local(context.Background(), m)
				}()
				return local(ctx, m)
			}
		}},
		{"changes the envelope", "unchanged", func(*testing.T) scanFunc {
			return func(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
				m.Envelope.To[0].Address = "eve@example.com"
				return local(ctx, m)
			}
		}},
		{"leaves goroutines", "goroutines", func(t *testing.T) scanFunc {
			release := make(chan struct{})
			t.Cleanup(func() { close(release) })
			return func(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
				go func() { <-release }()
				return local(ctx, m)
			}
		}},
		{"panics", "hostile", func(*testing.T) scanFunc {
			return func(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
				return nil, errors.New(m.Header().Values("From")[0])
			}
		}},
		{"ends its goroutine", "clean", func(*testing.T) scanFunc {
			return func(context.Context, *verdict.Message) ([]verdict.Finding, error) { runtime.Goexit(); return nil, nil }
		}},
		{"takes an error for the end", "unreadable", func(*testing.T) scanFunc {
			return func(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
				fs, _ := local(ctx, m)
				return fs, nil
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			checkFails(t, localSuite(tt.scan(t)), tt.check)
		})
	}
}

func TestBrokenNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "Upper", "two words", "a\r\nb", strings.Repeat("x", 41)} {
		s := localSuite(nil)
		s.New = func(testing.TB, net.Addr) verdict.Scanner { return verdict.Func(name, local) }
		checkFails(t, s, "name")
	}
	s := localSuite(nil)
	s.New = func(testing.TB, net.Addr) verdict.Scanner { return new(fickle) }
	checkFails(t, s, "name")
}

// fickle has another name each time.
type fickle struct{ n atomic.Int64 }

func (f *fickle) Name() string { return fmt.Sprint("name", f.n.Add(1)) }

func (f *fickle) Scan(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	return local(ctx, m)
}

// Scanners that ask an engine carelessly.
func TestBrokenClients(t *testing.T) {
	t.Parallel()
	read := func(parse func(c net.Conn) ([]verdict.Finding, error)) func(testing.TB, net.Addr) verdict.Scanner {
		return func(_ testing.TB, engine net.Addr) verdict.Scanner {
			return verdict.Func("line", func(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				c, err := ask(ctx, engine, m)
				if err != nil {
					return nil, err
				}
				defer c.Close()
				return parse(c)
			})
		}
	}
	for _, tt := range []struct {
		name   string
		checks []string
		new    func(testing.TB, net.Addr) verdict.Scanner
	}{
		{"down is clean", []string{"faults, clean", "faults, hit", "cut anywhere"}, func(tb testing.TB, engine net.Addr) verdict.Scanner {
			return verdict.Func("line", func(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
				fs, _ := lineScanner(tb, engine).Scan(ctx, m)
				return fs, nil
			})
		}},
		{"what is no hit is clean", []string{"faults, clean", "cut anywhere"}, read(func(c net.Conn) ([]verdict.Finding, error) {
			b, err := io.ReadAll(io.LimitReader(c, 100))
			if strings.HasPrefix(string(b), "HIT") {
				return hit, nil
			}
			return nil, err
		})},
		{"end of file is clean", []string{"faults, clean", "cut anywhere"}, read(func(c net.Conn) ([]verdict.Finding, error) {
			line, err := bufio.NewReader(io.LimitReader(c, 100)).ReadString('\n')
			if errors.Is(err, io.EOF) {
				return nil, nil
			}
			if line == "HIT\n" {
				return hit, nil
			}
			return nil, err
		})},
		{"reads without bound", []string{"flood"}, read(func(c net.Conn) ([]verdict.Finding, error) {
			n, err := io.Copy(io.Discard, c)
			if n == 4 {
				return hit, nil
			}
			return nil, err
		})},
		{"no deadline", []string{"faults, clean", "faults, hit", "hanging engine"}, func(tb testing.TB, engine net.Addr) verdict.Scanner {
			return verdict.Func("line", func(_ context.Context, m *verdict.Message) ([]verdict.Finding, error) {
				return lineScanner(tb, engine).Scan(context.Background(), m)
			})
		}},
		{"impatient", []string{"slow engine"}, func(tb testing.TB, engine net.Addr) verdict.Scanner {
			return verdict.Func("line", func(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
				ctx, cancel := context.WithTimeout(ctx, 40*time.Millisecond)
				defer cancel()
				return lineScanner(tb, engine).Scan(ctx, m)
			})
		}},
		{"never tries again", []string{"faults, hit"}, func(tb testing.TB, engine net.Addr) verdict.Scanner {
			var down atomic.Bool
			return verdict.Func("line", func(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
				if down.Load() {
					return nil, errors.New("line: down")
				}
				fs, err := lineScanner(tb, engine).Scan(ctx, m)
				down.Store(err != nil)
				return fs, err
			})
		}},
		{"asks nobody", []string{"faults, clean"}, func(testing.TB, net.Addr) verdict.Scanner { return verdict.Func("line", local) }},
	} {
		for _, check := range tt.checks {
			t.Run(tt.name+", "+check, func(t *testing.T) {
				t.Parallel()
				checkFails(t, verdicttest.Suite{
					New: tt.new, Engine: lineEngine("tcp"), Hit: verdicttest.Spam, Want: verdict.Spam,
					Patience: 60 * time.Millisecond, Recovery: 20 * time.Millisecond,
				}, check)
			})
		}
	}
}

// A suite that cannot show anything says so.
func TestSuiteIncomplete(t *testing.T) {
	t.Parallel()
	if r := record(t, func(tb testing.TB) { verdicttest.RunCheck(tb, verdicttest.Suite{New: localSuite(local).New}, "hit") }); !r.skipped {
		t.Error("a suite without Hit does not skip the check of hits")
	}
	names := []string{"clean", "hit", "faults, clean", "flood"}
	if slices.ContainsFunc(names[2:], func(n string) bool { return verdicttest.RunCheck(t, localSuite(local), n) }) {
		t.Error("checks of engines are made without an engine")
	}
}
