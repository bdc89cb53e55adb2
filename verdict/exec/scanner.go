package execscan

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/internal/remote"
)

const (
	codeVerdict = "exec.verdict"

	maxValue      = 1 << 10 // of one variable of the environment
	maxRecipients = 100
	maxDetail     = 300
	lateness      = 500 * time.Millisecond // for what the program has started to let go of its output
)

// Scanner runs a program. It may be used by many goroutines at once. Its fields must not change once it is in use.
type Scanner struct {
	// Path is the program, absolute. If it is empty every scan fails.
	Path string
	// Args are its arguments, without its name. There is no shell in between.
	Args []string
	// Env has more variables, "NAME=value". They go before those of the message: nothing can be overridden by mail.
	Env []string
	// Dir is where the program runs. Empty means "/".
	Dir string
	// Exit says what an exit status means. Unknown, and a status that is not in it, mean that the program could
	// not tell. Nil means {0: Clean, 1: Spam, 2: Malicious}.
	Exit map[int]verdict.Class
	// JSON says that the program prints its answer. Exit is then not used.
	JSON bool
	// Limit is how many may run at once. 0 means 8.
	Limit int
	// Stderr gets what the programs say there. It must be safe for use by many goroutines. Nil throws it away.
	Stderr io.Writer

	once  sync.Once
	slots chan struct{}
}

// Name returns "exec".
func (s *Scanner) Name() string { return "exec" }

// Scan implements verdict.Scanner.
func (s *Scanner) Scan(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	findings, err := s.scan(ctx, m)
	if err != nil {
		err = fmt.Errorf("exec: %w", err)
	}
	return findings, err
}

func (s *Scanner) scan(ctx context.Context, m *verdict.Message) ([]verdict.Finding, error) {
	s.once.Do(func() { s.slots = make(chan struct{}, cmp.Or(max(s.Limit, 0), 8)) })
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	status, out, err := s.run(ctx, m)
	if err != nil {
		return nil, err
	}
	if s.JSON {
		if status != 0 {
			return nil, fmt.Errorf("the program ended with status %d", status)
		}
		return remote.ReadAnswer("exec", out)
	}
	exits := s.Exit
	if exits == nil {
		exits = map[int]verdict.Class{0: verdict.Clean, 1: verdict.Spam, 2: verdict.Malicious}
	}
	first, _, _ := strings.Cut(string(out), "\n")
	detail := remote.Excerpt(first, maxDetail)
	switch class := exits[status]; class {
	case verdict.Clean:
		return nil, nil
	case verdict.Spam, verdict.Malicious:
		f := verdict.Found(codeVerdict)
		f.Class, f.Detail = class, detail
		return []verdict.Finding{f}, nil
	}
	return nil, fmt.Errorf("the program could not tell, it ended with status %d: %s", status, detail)
}

// errOutput ends a program that says too much.
var errOutput = fmt.Errorf("%w: more than %d bytes", remote.ErrAnswer, remote.MaxAnswer)

// run runs the program to its end and returns its exit status and what it printed.
func (s *Scanner) run(ctx context.Context, m *verdict.Message) (status int, out []byte, err error) {
	if s.Path == "" || !strings.ContainsAny(s.Path, `/\`) {
		return 0, nil, errors.New("the path of the program has to be absolute")
	}
	body := remote.Raw(ctx, m)
	defer body.Take()
	stdin, err := body.Reopen()
	if err != nil {
		return 0, nil, err
	}
	run, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	answer := &bounded{max: remote.MaxAnswer, full: func() { cancel(errOutput) }}

	cmd := exec.CommandContext(run, s.Path, s.Args...)
	cmd.Dir = cmp.Or(s.Dir, "/")
	cmd.Env = s.env(m)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, answer, s.Stderr
	cmd.WaitDelay = lateness
	kill := inGroup(cmd)
	cmd.Cancel = kill
	if err := cmd.Start(); err != nil {
		return 0, nil, remote.First(ctx, err)
	}
	err = cmd.Wait()
	kill() // what it has started and left behind

	var exit *exec.ExitError
	switch {
	case body.Err() != nil:
		return 0, nil, body.Err()
	case ctx.Err() != nil:
		return 0, nil, ctx.Err()
	case run.Err() != nil:
		return 0, nil, context.Cause(run)
	case errors.As(err, &exit) && exit.Exited():
		return exit.ExitCode(), answer.b.Bytes(), nil
	case err != nil:
		return 0, nil, fmt.Errorf("the program did not end well: %w", err)
	}
	return 0, answer.b.Bytes(), nil
}

// env is the whole environment of the program.
func (s *Scanner) env(m *verdict.Message) []string {
	env := append([]string{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C"}, s.Env...)
	add := func(name, value string) { env = append(env, name+"="+remote.Line(value, maxValue)) }
	add("MESSAGE_ID", m.ID)
	add("MESSAGE_SIZE", strconv.FormatInt(m.Size(), 10))
	addr := ""
	if m.Origin.Addr.IsValid() {
		addr = m.Origin.Addr.Addr().Unmap().String()
	}
	add("CLIENT_ADDR", addr)
	add("CLIENT_HELO", m.Origin.Helo)
	add("CLIENT_NAME", m.Origin.Name)
	add("SENDER", m.Envelope.From)
	add("RECIPIENT_COUNT", strconv.Itoa(len(m.Envelope.To)))
	var to []string
	for _, r := range m.Envelope.To[:min(len(m.Envelope.To), maxRecipients)] {
		to = append(to, remote.Line(r.Address, maxValue))
	}
	return append(env, "RECIPIENTS="+strings.Join(to, "\n"))
}

// bounded keeps what is written up to a bound and calls full beyond it.
type bounded struct {
	b    bytes.Buffer
	max  int
	full func()
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.b.Len()+len(p) > b.max {
		b.full()
		return 0, errOutput
	}
	return b.b.Write(p)
}
