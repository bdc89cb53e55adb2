package gworkspace_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/gworkspace"
	"github.com/postreeve/postreeve/gworkspace/gworkspacetest"
)

const idHeader = "X-Postreeve-Id"

func message(n int, ours string) gworkspacetest.Message {
	return gworkspacetest.Message{MessageID: fmt.Sprintf("<%d@evil.example>", n), Header: map[string]string{idHeader: ours}}
}

func target(n int, to, ours string) gworkspace.Target {
	return gworkspace.Target{MessageID: fmt.Sprintf("<%d@evil.example>", n), Recipient: to, OurID: ours}
}

// labels shows what became of a mailbox.
func labels(server *gworkspacetest.Server, mailbox string) string {
	var out []string
	for _, m := range server.Mailbox(mailbox) {
		out = append(out, strings.Join(m.Labels, "+"))
	}
	return strings.Join(out, " ")
}

func mailClient(t *testing.T, server *gworkspacetest.Server) *gworkspace.Client {
	t.Helper()
	client, err := gworkspace.NewClient(server.ClientConfig())
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestCures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cure   gworkspace.Cure
		before []string
		after  string
		calls  int // that change something
	}{
		{gworkspace.Trash, []string{"INBOX"}, "TRASH", 1},
		{gworkspace.Trash, []string{"TRASH"}, "TRASH", 0},
		{gworkspace.Trash, []string{"SPAM"}, "TRASH", 1},
		{gworkspace.Untrash, []string{"TRASH"}, "INBOX", 1},
		{gworkspace.Untrash, []string{"INBOX"}, "INBOX", 0},
		{gworkspace.Spam, []string{"INBOX"}, "SPAM", 1},
		{gworkspace.Spam, []string{"SPAM"}, "SPAM", 0},
		{gworkspace.NotSpam, []string{"SPAM"}, "INBOX", 1},
		{gworkspace.Permanent, []string{"INBOX"}, "", 1},
		{gworkspace.Permanent, []string{"TRASH"}, "", 1},
	} {
		t.Run(fmt.Sprint(c.cure, c.before), func(t *testing.T) {
			t.Parallel()
			server := gworkspacetest.New(gworkspacetest.Config{})
			server.GrantAll()
			server.AddUser(gworkspacetest.User{Email: "ann@ex.net"})
			m := message(1, "7QX")
			m.Labels = c.before
			server.AddMessage("ann@ex.net", m)
			done, err := mailClient(t, server).Remediate(t.Context(), gworkspace.Remedy{Cure: c.cure, IDHeader: idHeader, Targets: []gworkspace.Target{target(1, "ann@ex.net", "7QX")}})
			if err != nil || len(done) != 1 || done[0].State != gworkspace.MailCured || done[0].Found != 1 || done[0].Cured != 1 {
				t.Fatalf("%v: %+v", err, done)
			}
			if got := labels(server, "ann@ex.net"); got != c.after {
				t.Errorf("labels %q, want %q", got, c.after)
			}
			calls := server.Calls()
			if n := calls["gmail.trash"] + calls["gmail.untrash"] + calls["gmail.modify"] + calls["gmail.delete"]; n != c.calls {
				t.Errorf("%d changes, want %d", n, c.calls)
			}
		})
	}
}

// TestRemediateStates: what is not sure is left alone, and every mailbox has its own outcome.
func TestRemediateStates(t *testing.T) {
	t.Parallel()
	server := gworkspacetest.New(gworkspacetest.Config{PageSize: 2})
	server.GrantAll()
	server.AddUser(gworkspacetest.User{Email: "ann@ex.net", Aliases: []string{"a@ex.net"}}, gworkspacetest.User{Email: "ben@ex.net"}, gworkspacetest.User{Email: "cat@ex.net"},
		gworkspacetest.User{Email: "gone@ex.net", Suspended: true}, gworkspacetest.User{Email: "nomail@ex.net", NoGmail: true})
	server.AddGroup("all@ex.net", "ann@ex.net", "inner@ex.net", "out@other.example", "theirs@googlegroups.com")
	server.AddGroup("inner@ex.net", "ben@ex.net", "cat@ex.net", "gone@ex.net", "all@ex.net") // holds its holder
	server.AddGroup("empty@ex.net", "out@other.example")
	for _, u := range []string{"ann@ex.net", "ben@ex.net"} {
		server.AddMessage(u, message(1, "7QX"))
	}
	server.AddMessage("ann@ex.net", message(1, "FORGED")) // the same Message-ID, not ours
	server.AddMessage("ann@ex.net", message(2, "8RY"))
	targets := []gworkspace.Target{target(1, "all@ex.net", "7QX"), target(2, "a@ex.net", "8RY"), target(2, "ben@ex.net", "8RY"), target(3, "nomail@ex.net", "x"),
		target(3, "nobody@ex.net", "x"), target(3, "empty@ex.net", "x"), target(1, "ann@ex.net", "7QX")}
	done, err := mailClient(t, server).Remediate(t.Context(), gworkspace.Remedy{Cure: gworkspace.Trash, IDHeader: idHeader, Targets: targets})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range done {
		got = append(got, strings.Join(strings.Fields(d.Target.Recipient+" "+d.Mailbox+" "+d.State), " "))
	}
	want := []string{"all@ex.net ann@ex.net cured", "all@ex.net ben@ex.net cured", "all@ex.net cat@ex.net not found", "all@ex.net gone@ex.net skipped", "all@ex.net out@other.example skipped",
		"a@ex.net ann@ex.net cured", "ben@ex.net ben@ex.net not found", "nomail@ex.net skipped", "nobody@ex.net skipped", "empty@ex.net out@other.example skipped"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if got := labels(server, "ann@ex.net"); got != "TRASH INBOX TRASH" {
		t.Errorf("mailbox of ann: %q: what is not ours must stay", got)
	}
	if m := server.Misuse(); len(m) > 0 {
		t.Errorf("misuse: %q", m)
	}
}

func TestRemediateRefuses(t *testing.T) {
	t.Parallel()
	server := gworkspacetest.New(gworkspacetest.Config{})
	server.GrantAll()
	client := mailClient(t, server)
	one := func(x gworkspace.Target) gworkspace.Remedy {
		return gworkspace.Remedy{Cure: gworkspace.Trash, IDHeader: idHeader, Targets: []gworkspace.Target{x}}
	}
	cases := map[string]gworkspace.Remedy{"no cure": {}, "cure of Microsoft": {Cure: "junk"}, "no id": one(target(1, "ann@ex.net", "")), "no address": one(target(1, "ann", "x")),
		"address with a slash and a line": one(target(1, "ann\r\n@ex.net", "x")), "no Message-ID": one(gworkspace.Target{Recipient: "ann@ex.net", OurID: "x"}),
		"Message-ID in lines": one(gworkspace.Target{MessageID: "<a\r\nb@x>", Recipient: "ann@ex.net", OurID: "x"}),
		"no header":           {Cure: gworkspace.Trash, Targets: []gworkspace.Target{target(1, "ann@ex.net", "x")}}}
	for name, r := range cases {
		if _, err := client.Remediate(t.Context(), r); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if n := len(server.Calls()); n > 0 {
		t.Errorf("%v: requests were made", server.Calls())
	}

	// A Message-ID that would be a query of its own is not searched for.
	server.AddUser(gworkspacetest.User{Email: "ann@ex.net"})
	done, err := client.Remediate(t.Context(), one(gworkspace.Target{MessageID: "<a@x OR in:anywhere>", Recipient: "ann@ex.net", OurID: "x"}))
	if err != nil || done[0].State != gworkspace.MailFailed || !errors.Is(done[0].Err, gworkspace.ErrInvalid) {
		t.Errorf("%v: %+v", err, done)
	}
}

func TestTargetCheck(t *testing.T) {
	t.Parallel()
	for to, ok := range map[string]bool{"ann@ex.net": true, "Ann+x@sub.EX.net": true, "x@b-.ex.net": false, "x@ex": false, "x@ex..net": false, "a b@ex.net": false, "ann": false, "": false} {
		if err := target(1, to, "").Check(); (err == nil) != ok {
			t.Errorf("%q: %v", to, err)
		}
	}
	for id, ok := range map[string]bool{"<a@x>": true, "": false, "<a\n@x>": false, strings.Repeat("a", 999): false} {
		if err := (gworkspace.Target{MessageID: id, Recipient: "ann@ex.net"}).Check(); (err == nil) != ok {
			t.Errorf("%q: %v", id, err)
		}
	}
}

// TestRemediateScope: the first refusal ends it, and says which scope is missing.
func TestRemediateScope(t *testing.T) {
	t.Parallel()
	server := gworkspacetest.New(gworkspacetest.Config{})
	server.Grant(gworkspace.ScopeUsers, gworkspace.ScopeGroups, gworkspace.ScopeModify)
	var targets []gworkspace.Target
	for i := range 50 {
		u := fmt.Sprintf("u%d@ex.net", i)
		server.AddUser(gworkspacetest.User{Email: u})
		server.AddMessage(u, message(1, "7QX"))
		targets = append(targets, target(1, u, "7QX"))
	}
	_, err := mailClient(t, server).Remediate(t.Context(), gworkspace.Remedy{Cure: gworkspace.Permanent, IDHeader: idHeader, Targets: targets, Mailboxes: 1})
	var scope *gworkspace.ScopeError
	if !errors.As(err, &scope) || !cmp.Equal([]string{gworkspace.ScopePurge}, scope.Missing) {
		t.Errorf("got %v", err)
	}
	if n := server.Calls()["gmail.get"]; n != 1 {
		t.Errorf("%d mailboxes were tried", n)
	}
}

// TestRemediateCut: what was never tried has no outcome, so that the error is seen, whatever ended it.
func TestRemediateCut(t *testing.T) {
	t.Parallel()
	const members = 60
	group := func(server *gworkspacetest.Server) {
		var all []string
		for i := range members {
			all = append(all, fmt.Sprintf("u%d@ex.net", i))
			server.AddUser(gworkspacetest.User{Email: all[i]})
			server.AddMessage(all[i], message(1, "7QX"))
		}
		server.AddGroup("all@ex.net", all...)
	}
	remedy := gworkspace.Remedy{Cure: gworkspace.Trash, IDHeader: idHeader, Targets: []gworkspace.Target{target(1, "all@ex.net", "7QX")}}
	for name, start := range map[string]func(s *gworkspacetest.Server) *gworkspacetest.Server{
		"in memory":   func(s *gworkspacetest.Server) *gworkspacetest.Server { return s },
		"by a socket": (*gworkspacetest.Server).Start, // whose errors are the cause of the end
	} {
		server := start(gworkspacetest.New(gworkspacetest.Config{Latency: time.Millisecond}))
		defer server.Close()
		server.Grant(gworkspace.ScopeUsers, gworkspace.ScopeGroups)
		group(server)
		done, err := mailClient(t, server).Remediate(t.Context(), remedy)
		if !errors.Is(err, gworkspace.ErrScope) || len(done) == 0 || len(done) > 10 {
			t.Errorf("%s: %v: %d outcomes", name, err, len(done))
		}
		mine := map[string]bool{}
		for _, d := range done {
			if !errors.Is(d.Err, gworkspace.ErrScope) || strings.Contains(d.Reason, "context canceled") || !strings.Contains(d.Reason, d.Mailbox) || mine[d.Mailbox] {
				t.Errorf("%s: %+v", name, d)
			}
			mine[d.Mailbox] = true
		}
	}

	// Whoever interrupts it gets what was done until then.
	server := gworkspacetest.New(gworkspacetest.Config{Latency: time.Millisecond})
	server.GrantAll()
	group(server)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cut := remedy
	cut.Mailboxes = 2
	cut.Done = func(gworkspace.Remediation) { cancel() }
	done, err := mailClient(t, server).Remediate(ctx, cut)
	if !errors.Is(err, context.Canceled) || len(done) == 0 || len(done) > 3 {
		t.Errorf("%v: %d outcomes", err, len(done))
	}
	cured := 0
	for _, d := range done {
		if d.State == gworkspace.MailCured {
			cured++
		} else if d.Found == 0 { // of one that was found nobody knows whether the request got there
			t.Errorf("%+v", d)
		}
	}
	if cured == 0 {
		t.Errorf("nothing was cured, and it was told of: %+v", done)
	}
}

// tokenFunc is a source of tokens.
type tokenFunc func(ctx context.Context, req gworkspace.TokenRequest) (gworkspace.Token, error)

func (f tokenFunc) Token(ctx context.Context, req gworkspace.TokenRequest) (gworkspace.Token, error) {
	return f(ctx, req)
}

// TestRemediateCause: what was cut short by the error of one mailbox does not pass for an error of its own. Connections
// that are cut say the cause.
func TestRemediateCause(t *testing.T) {
	t.Parallel()
	server := gworkspacetest.New(gworkspacetest.Config{})
	server.GrantAll()
	var targets []gworkspace.Target
	for _, u := range []string{"ann@ex.net", "ben@ex.net", "cat@ex.net"} {
		server.AddUser(gworkspacetest.User{Email: u})
		targets = append(targets, target(1, u, "7QX"))
	}
	waiting := make(chan bool, 2)
	cfg := server.ClientConfig()
	cfg.MailTokens = tokenFunc(func(ctx context.Context, req gworkspace.TokenRequest) (gworkspace.Token, error) {
		if req.Subject == "ann@ex.net" {
			<-waiting
			<-waiting
			return gworkspace.Token{}, &gworkspace.ScopeError{Subject: req.Subject, Missing: req.Scopes}
		}
		waiting <- true
		<-ctx.Done()
		return gworkspace.Token{}, context.Cause(ctx)
	})
	client, err := gworkspace.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	done, err := client.Remediate(t.Context(), gworkspace.Remedy{Cure: gworkspace.Trash, IDHeader: idHeader, Targets: targets})
	if !errors.Is(err, gworkspace.ErrScope) || len(done) != 1 || done[0].Mailbox != "ann@ex.net" {
		t.Errorf("%v: %+v", err, done)
	}
}

// TestRemediateMany: a hundred thousand messages in one mailbox are told apart in no time.
func TestRemediateMany(t *testing.T) {
	t.Parallel()
	server := gworkspacetest.New(gworkspacetest.Config{})
	server.Grant(gworkspace.ScopeUsers, gworkspace.ScopeGroups) // the first of them ends it
	server.AddUser(gworkspacetest.User{Email: "ann@ex.net"})
	var targets []gworkspace.Target
	for i := range 100_000 {
		targets = append(targets, target(i%99_999, "ann@ex.net", "7QX"))
	}
	start := time.Now()
	done, err := mailClient(t, server).Remediate(t.Context(), gworkspace.Remedy{Cure: gworkspace.Trash, IDHeader: idHeader, Targets: targets})
	if took := time.Since(start); !errors.Is(err, gworkspace.ErrScope) || len(done) != 1 || took > 25*time.Second { // half a second; compared with each other, forty
		t.Errorf("%v: %d outcomes in %s", err, len(done), took)
	}
}

// TestRemediateFaults: lost replies and refusals for a while do not change the outcome.
func TestRemediateFaults(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]gworkspacetest.Fault{
		"429":                {Op: "gmail.delete", Status: 429, Reason: "rateLimitExceeded", Times: 2},
		"lost before":        {Op: "gmail.delete"},
		"lost after":         {Op: "gmail.delete", After: true}, // it is gone: the second attempt finds nothing
		"5xx":                {Op: "gmail.list", Status: 502, Times: 2},
		"token service down": {Op: "token", Status: 503, Times: 2},
		"tokens expired":     {Op: "gmail.get", Status: 401, Reason: "authError"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := gworkspacetest.New(gworkspacetest.Config{})
				server.GrantAll()
				server.AddUser(gworkspacetest.User{Email: "ann@ex.net"})
				server.AddMessage("ann@ex.net", message(1, "7QX"))
				server.Inject(f)
				done, err := mailClient(t, server).Remediate(t.Context(), gworkspace.Remedy{Cure: gworkspace.Permanent, IDHeader: idHeader, Targets: []gworkspace.Target{target(1, "ann@ex.net", "7QX")}})
				if err != nil || done[0].State != gworkspace.MailCured || len(server.Mailbox("ann@ex.net")) != 0 {
					t.Errorf("%v: %+v", err, done)
				}
			})
		})
	}
}

// TestRemediateQuota: 1 000 messages under the quotas of a new project, which the server counts in every
// minute. No request is refused; a reply takes 50 ms.
func TestRemediateQuota(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		mailboxes int
		most      time.Duration
		least     time.Duration
		cfg       gworkspacetest.Config
		quota     gworkspace.Quota
	}{
		{"200 mailboxes", 200, 40 * time.Second, time.Second, gworkspacetest.Config{}, gworkspace.Quota{}},
		{"1 mailbox", 1, 7 * time.Minute, 5 * time.Minute, gworkspacetest.Config{}, gworkspace.Quota{}},
		{"200 mailboxes, small project", 200, 6 * time.Minute, 5 * time.Minute, gworkspacetest.Config{ProjectUnits: 6000}, gworkspace.Quota{Project: 6000}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c.cfg.Latency = 50 * time.Millisecond
				server := gworkspacetest.New(c.cfg)
				server.GrantAll()
				var targets []gworkspace.Target
				for i := range 1000 {
					u := fmt.Sprintf("u%d@ex.net", i%c.mailboxes)
					if i < c.mailboxes {
						server.AddUser(gworkspacetest.User{Email: u})
					}
					server.AddMessage(u, message(i, "7QX"))
					targets = append(targets, target(i, u, "7QX"))
				}
				var refused atomic.Int64
				cfg := server.ClientConfig()
				cfg.Quota = c.quota
				cfg.Observe = func(a gworkspace.Attempt) {
					if a.Err != nil {
						refused.Add(1)
					}
				}
				client, err := gworkspace.NewClient(cfg)
				if err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				done, err := client.Remediate(t.Context(), gworkspace.Remedy{Cure: gworkspace.Trash, IDHeader: idHeader, Targets: targets})
				took := time.Since(start)
				if err != nil || len(done) != 1000 {
					t.Fatalf("%v: %d outcomes", err, len(done))
				}
				for _, d := range done {
					if d.State != gworkspace.MailCured || d.Cured != 1 {
						t.Fatalf("%+v", d)
					}
				}
				if refused.Load() > 0 || took < c.least || took > c.most {
					t.Errorf("%d refusals, took %s: want none, %s to %s", refused.Load(), took, c.least, c.most)
				}
				calls, all := server.Calls(), 0
				for _, n := range calls {
					all += n
				}
				t.Logf("%s: %d calls (%v) in %s", c.name, all, calls, took.Round(time.Millisecond))
			})
		})
	}
}
