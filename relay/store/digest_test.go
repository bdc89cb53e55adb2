package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/relay/store"
	"github.com/postreeve/postreeve/verdict"
)

// deliverBy releases by a hop.
func deliverBy(h relay.NextHop) store.Deliver {
	return func(ctx context.Context, _ store.Held, e verdict.Envelope, body verdict.Source, _ string) ([]relay.Receipt, error) {
		return h.Deliver(ctx, e, body)
	}
}

func TestDigest(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c)
		ctx := t.Context()
		h := &hop{}
		srv := httptest.NewServer(s.LinkHandler(store.Links{}, deliverBy(h)))
		t.Cleanup(srv.Close)
		task, err := s.DigestTask(store.Digest{Every: time.Millisecond, Links: &store.Links{Base: srv.URL + "/q"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := task.Do(ctx); err != nil { // sees what time it is
			t.Fatal(err)
		}
		d := &relay.Domain{Name: "ex.net", Next: h}
		for id, class := range map[string]verdict.Class{"spam1": verdict.Spam, "mal1": verdict.Malicious} {
			if _, err := s.Hold(ctx, d, message(id, "b@ex.net", "c@ex.net"), &verdict.Report{Class: class}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Millisecond) // or one digest may end between the two
		var list []store.Queued
		await(t, "digests", func() bool { // what is held in the millisecond of a digest is of the next one
			if err := task.Do(ctx); err != nil {
				t.Fatal(err)
			}
			list, err = s.QueuedMessages(ctx, store.Filter{})
			return err == nil && len(list) > 0
		})
		if err := task.Do(ctx); err != nil {
			t.Fatal(err)
		}
		list, err = s.QueuedMessages(ctx, store.Filter{})
		if err != nil || len(list) != 2 || list[0].Domain != "ex.net" || list[0].MailFrom != "" {
			t.Fatalf("%+v, %v: want a digest for each of two recipients, once", list, err)
		}
		body := plain(t, read(t, func() (verdict.Source, error) { return s.QueuedBody(ctx, list[0].ID) }))
		links := regexp.MustCompile(`Release: (\S+)`).FindAllStringSubmatch(body, -1)
		if len(links) != 1 || !strings.Contains(body, "Only an administrator") || !strings.Contains(body, "Subject: hello") {
			t.Fatalf("%d links in\n%s", len(links), body)
		}
		testLink(t, s, h, links[0][1])
	})
}

// A digest lists what came in its time, which ends a little before it is made, and digests keep to their times.
func TestDigestTimes(t *testing.T) {
	t.Parallel()
	s := open(t, store.Config{})
	ctx := t.Context()
	task, err := s.DigestTask(store.Digest{Every: time.Hour, Admin: "admin@ex.net", Way: "ex.net"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Hold(ctx, &relay.Domain{Name: "ex.net"}, message("m1", "b@ex.net"), &verdict.Report{Class: verdict.Spam}); err != nil {
		t.Fatal(err)
	}
	if err := task.Do(ctx); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, c := range []struct {
		name       string
		from, held time.Duration // ago
		next       time.Duration // ago, of what the next one begins with
		mails      int
	}{
		{"not yet", 59 * time.Minute, 30 * time.Minute, 59 * time.Minute, 0},
		{"not yet: rows may be on their way", time.Hour + 10*time.Second, 30 * time.Minute, time.Hour + 10*time.Second, 0},
		{"due", time.Hour + time.Minute, 30 * time.Minute, time.Minute, 1},
		{"due, and the message too young", time.Hour + time.Minute, 10 * time.Second, time.Minute, 0},
		{"due, and the message told of", 2 * time.Hour, 3 * time.Hour, time.Hour, 0},
		{"late", 50*time.Hour + 20*time.Minute, 49 * time.Hour, 20 * time.Minute, 1},
		{"the clock was ahead", -5 * time.Hour, 30 * time.Minute, 0, 0},
	} {
		for stmt, arg := range map[string]any{
			"DELETE FROM queued WHERE domain <> ?": "",
			"UPDATE held SET at = ?":               now.Add(-c.held).UnixMilli(),
			"UPDATE record SET value = ?":          fmt.Sprintf(`{"from":%d}`, now.Add(-c.from).UnixMilli()),
		} {
			if err := s.Exec(ctx, stmt, arg); err != nil {
				t.Fatal(err)
			}
		}
		if err := task.Do(ctx); err != nil {
			t.Fatal(err)
		}
		list, err := s.QueuedMessages(ctx, store.Filter{Domain: "ex.net"})
		if err != nil || len(list) != c.mails {
			t.Errorf("%s: %d digests, want %d: %v", c.name, len(list), c.mails, err)
		}
		r, err := s.Record(ctx, "digest", "admin@ex.net")
		if err != nil {
			t.Fatal(err)
		}
		var state struct{ From, Until int64 }
		if err := json.Unmarshal([]byte(r.Value), &state); err != nil || state.Until != 0 {
			t.Errorf("%s: %s: %v", c.name, r.Value, err)
		}
		if ago := now.Sub(time.UnixMilli(state.From)); (ago - c.next).Abs() > 8*time.Second {
			t.Errorf("%s: the next one begins with %v ago, want %v", c.name, ago, c.next)
		}
	}
}

// plain is the text of a mail.
func plain(t *testing.T, mail string) string {
	t.Helper()
	for p, err := range verdict.NewMessage(verdict.Bytes(mail)).Parts() {
		if err != nil {
			t.Fatal(err)
		}
		text, err := p.Text()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	t.Fatalf("no text in %q", mail)
	return ""
}

// mailbox notes the mail that a hop gets.
type mailbox struct {
	mu   sync.Mutex
	mail map[string]string // by recipient
	said map[string]verdict.Envelope
}

func (w *mailbox) Deliver(_ context.Context, e verdict.Envelope, body verdict.Source) ([]relay.Receipt, error) {
	r, err := body.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mail[e.To[0].Address], w.said[e.To[0].Address] = string(b), e
	return taken(e), nil
}

func (w *mailbox) got(to string) (string, verdict.Envelope) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mail[to], w.said[to]
}

// A digest is known to the rule of its domain that looks for what has been here, and it is what its envelope says,
// whatever strangers have written.
func TestDigestOnTheWay(t *testing.T) {
	t.Parallel()
	s := open(t, store.Config{HeaderPrefix: "X-Brand"}.Quick())
	ctx := t.Context()
	w := &mailbox{mail: make(map[string]string), said: make(map[string]verdict.Envelope)}
	domains := relay.Static{
		"ex.net":        {Name: "ex.net", Next: w, Token: "secret-1"},
		"plain.example": {Name: "plain.example", Next: w, Mode: relay.StoreAndForward},
	}
	run(t, s, store.RunConfig{Directory: domains, Bounces: w})
	var tasks []store.Task
	for _, d := range []store.Digest{
		{}, {Admin: "admin@ex.net", Way: "ex.net"}, {Admin: "admin@elsewhere.example"}, {Admin: "admin@gone.example", Way: "gone.example"},
	} {
		d.Every = time.Millisecond
		task, err := s.DigestTask(d)
		if err != nil {
			t.Fatal(err)
		}
		tasks = append(tasks, task)
		if err := task.Do(ctx); err != nil { // sees what time it is
			t.Fatal(err)
		}
	}
	first := message("m0", "first@plain.example")
	if err := s.Enqueue(ctx, domains["plain.example"], first, first.Envelope, first, ""); err != nil {
		t.Fatal(err)
	}
	await(t, "store that runs", func() bool { mail, _ := w.got("first@plain.example"); return mail != "" })
	m := verdict.NewMessage(verdict.Bytes("From: a@ex.org\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe_" + strings.Repeat("x", 150) + "?=\r\n\r\nbody\r\n"))
	m.ID, m.Received = "m1", time.Now()
	m.Envelope = verdict.Envelope{From: "a@ex.org", To: []verdict.Recipient{{Address: "b@ex.net"}, {Address: "jürgen@ex.net"}}}
	if _, err := s.Hold(ctx, domains["ex.net"], m, &verdict.Report{Class: verdict.Spam}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Hold(ctx, domains["plain.example"], message("m2", "c@plain.example"), &verdict.Report{Class: verdict.Spam}); err != nil {
		t.Fatal(err)
	}
	for to, token := range map[string]string{
		"b@ex.net": "secret-1", "jürgen@ex.net": "secret-1", "admin@ex.net": "secret-1", "c@plain.example": "", "admin@elsewhere.example": "",
	} {
		await(t, "digest to "+to, func() bool {
			for _, task := range tasks {
				if err := task.Do(ctx); err != nil {
					t.Fatal(err)
				}
			}
			mail, _ := w.got(to)
			return mail != ""
		})
		mail, e := w.got(to)
		if got := verdict.NewMessage(verdict.Bytes(mail)).Header().Get("X-Brand-Token"); got != token || strings.Count(mail, "secret-1") != strings.Count(token, "secret-1") {
			t.Errorf("to %s with the token %q, want %q", to, got, token)
		}
		head, body, _ := strings.Cut(mail, "\r\n\r\n")
		foreign := strings.Contains(to, "ü")
		if strings.ContainsFunc(body, func(r rune) bool { return r > '~' }) || strings.Contains(head, "ü") != foreign || e.UTF8 != foreign || (e.Body == "8BITMIME") != foreign {
			t.Errorf("to %s, by %+v:\n%s", to, e, mail)
		}
		for line := range strings.Lines(body) {
			if len(line) > 78 {
				t.Errorf("to %s: a line of %d bytes", to, len(line))
			}
		}
		if text := plain(t, mail); !strings.Contains(text, "Subject: Grüße x") && token != "" {
			t.Errorf("to %s:\n%s", to, text)
		}
	}
}

// TestLinkWho: a link of a recipient is for that recipient and nothing malicious, one of an administrator for all.
func TestLinkWho(t *testing.T) {
	everywhere(t, func(t *testing.T, c store.Config) {
		s := open(t, c)
		ctx := t.Context()
		h := &hop{}
		for id, class := range map[string]verdict.Class{"mal1": verdict.Malicious, "mal2": verdict.Malicious, "spam1": verdict.Spam} {
			if _, err := s.Hold(ctx, &relay.Domain{Name: "ex.net"}, message(id, "b@ex.net", "C@ex.net"), &verdict.Report{Class: class}); err != nil {
				t.Fatal(err)
			}
		}
		until := time.Now().Add(time.Hour)
		if err := s.Exec(ctx, "UPDATE held_recipient SET state = 'uncertain' WHERE held = 'spam1' AND n = 1"); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name, ticket string
			links        store.Links
			code         int
			text         string
			b, c         int // how often each recipient has had something
		}{
			{"malicious", s.Ticket("mal1", "b@ex.net", until), store.Links{}, http.StatusForbidden, "Only an administrator", 0, 0},
			{"malicious, which recipients may have", s.Ticket("mal1", "B@ex.net", until), store.Links{Malicious: true}, http.StatusOK, "on its way", 1, 0},
			{"a recipient of another message", s.Ticket("mal2", "d@ex.net", until), store.Links{Malicious: true}, http.StatusConflict, "Done already", 1, 0},
			{"of an administrator", s.AdminTicket("mal2", "admin@gw.example", until), store.Links{}, http.StatusOK, "on its way", 2, 1},
			{"again", s.AdminTicket("mal2", "admin@gw.example", until), store.Links{}, http.StatusConflict, "Done already", 2, 1},
			{"uncertain", s.Ticket("spam1", "c@ex.net", until), store.Links{}, http.StatusConflict, "Nobody knows", 2, 1},
			{"no such message", s.Ticket("none", "c@ex.net", until), store.Links{}, http.StatusGone, "not kept", 2, 1},
		} {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodPost, "/q", strings.NewReader(url.Values{"t": {c.ticket}, "sure": {"yes"}}.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			s.LinkHandler(c.links, deliverBy(h)).ServeHTTP(w, r)
			if w.Code != c.code || !strings.Contains(w.Body.String(), c.text) {
				t.Errorf("%s: %d, want %d\n%s", c.name, w.Code, c.code, w.Body)
			}
			if h.count("b@ex.net") != c.b || h.count("C@ex.net") != c.c {
				t.Errorf("%s: delivered %v", c.name, h.got)
			}
		}
		acts, err := s.Audit(ctx, store.ActFilter{Object: "mal2", Limit: 10})
		if err != nil || len(acts) != 1 || acts[0].Who != "link for admin@gw.example" {
			t.Errorf("%+v, %v", acts, err)
		}
	})
}

// TestLinkVisitorLeaves: a visitor who does not wait does not cut a delivery off.
func TestLinkVisitorLeaves(t *testing.T) {
	t.Parallel()
	s := open(t, store.Config{})
	if _, err := s.Hold(t.Context(), &relay.Domain{Name: "ex.net"}, message("m1", "b@ex.net"), &verdict.Report{Class: verdict.Spam}); err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	h := &hop{}
	slow := func(ctx context.Context, _ store.Held, e verdict.Envelope, body verdict.Source, _ string) ([]relay.Receipt, error) {
		leave()
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return h.Deliver(ctx, e, body)
	}
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/q",
		strings.NewReader(url.Values{"t": {s.Ticket("m1", "b@ex.net", time.Now().Add(time.Hour))}, "sure": {"yes"}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	s.LinkHandler(store.Links{}, slow).ServeHTTP(httptest.NewRecorder(), r)
	if held, err := s.HeldMessage(t.Context(), "m1"); err != nil || held.State != store.StateReleased || h.count("b@ex.net") != 1 {
		t.Errorf("%+v, %v", held, err)
	}
}

func testLink(t *testing.T, s *store.Store, h *hop, link string) {
	u, err := url.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	ticket := u.Query().Get("t")
	base := strings.TrimSuffix(link, "?t="+ticket)
	get := func(link string) (int, string, http.Header) {
		resp, err := http.Get(link)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b), resp.Header
	}
	post := func(v url.Values) int {
		resp, err := http.PostForm(base, v)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	to := map[string]bool{"b@ex.net": true, "c@ex.net": true}
	delivered := func() (n int) {
		for a := range to {
			n += h.count(a)
		}
		return n
	}
	for range 3 { // a program that follows links, and sends the form as it is
		code, text, header := get(link)
		if code != http.StatusOK || !strings.Contains(text, "<form") || header.Get("Cache-Control") != "no-store" ||
			!strings.HasPrefix(header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%d %v\n%s", code, header, text)
		}
		if code := post(url.Values{"t": {ticket}}); code != http.StatusOK {
			t.Error(code)
		}
	}
	for name, bad := range map[string]string{
		"none": "", "no sum": strings.Split(ticket, ".")[0], "other sum": ticket[:len(ticket)-1] + map[bool]string{true: "B", false: "A"}[ticket[len(ticket)-1] == 'A'],
		"other claim": "A" + ticket, "long": ticket + strings.Repeat("A", 1<<20),
	} {
		if code := post(url.Values{"t": {bad}, "sure": {"yes"}}); code != http.StatusNotFound && code != http.StatusBadRequest {
			t.Errorf("%s: %d", name, code)
		}
	}
	expired := s.Ticket("spam1", "b@ex.net", time.Now().Add(-time.Minute))
	if code, _, _ := get(base + "?t=" + expired); code != http.StatusGone {
		t.Errorf("expired: %d", code)
	}
	if n := delivered(); n != 0 {
		t.Fatalf("delivered %d times before anybody confirmed", n)
	}
	if code := post(url.Values{"t": {ticket}, "sure": {"yes"}}); code != http.StatusOK {
		t.Error(code)
	}
	if code := post(url.Values{"t": {ticket}, "sure": {"yes"}}); code != http.StatusConflict {
		t.Errorf("the second time: %d", code)
	}
	if n := delivered(); n != 1 {
		t.Errorf("delivered %d times", n)
	}
	acts, err := s.Audit(t.Context(), store.ActFilter{Object: "spam1", Limit: 10})
	if err != nil || len(acts) != 1 || !strings.HasPrefix(acts[0].Who, "link for ") {
		t.Errorf("%+v %v", acts, err)
	}
}

// read returns all of a body.
func read(t *testing.T, get func() (verdict.Source, error)) string {
	t.Helper()
	src, err := get()
	if err != nil {
		t.Fatal(err)
	}
	r, err := src.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// FuzzLink: whatever is no ticket of ours shows nothing and releases nothing.
func FuzzLink(f *testing.F) {
	s, err := store.Open(f.Context(), store.Config{Dir: f.TempDir()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	if _, err := s.Hold(f.Context(), &relay.Domain{Name: "ex.net"}, message("m1", "b@ex.net"), &verdict.Report{Class: verdict.Spam}); err != nil {
		f.Fatal(err)
	}
	good := s.Ticket("m1", "b@ex.net", time.Now().Add(time.Hour))
	claim, sum, _ := strings.Cut(good, ".")
	for _, bad := range []string{"", ".", claim, claim + ".", "." + sum, sum + "." + claim, good + "=", good + "\n", good + "." + sum, claim + "\n." + sum, " " + good, strings.ToLower(good), strings.Repeat("A", 5000)} {
		f.Add(bad)
	}
	h := &hop{}
	handler := s.LinkHandler(store.Links{Malicious: true}, deliverBy(h))
	f.Fuzz(func(t *testing.T, ticket string) {
		if ticket == good {
			t.Skip("this one is")
		}
		for _, r := range []*http.Request{
			httptest.NewRequest(http.MethodGet, "/q?"+url.Values{"t": {ticket}}.Encode(), nil),
			httptest.NewRequest(http.MethodPost, "/q", strings.NewReader(url.Values{"t": {ticket}, "sure": {"yes"}}.Encode())),
		} {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != http.StatusNotFound && w.Code != http.StatusBadRequest || strings.Contains(w.Body.String(), "<form") || h.count("b@ex.net") != 0 {
				t.Fatalf("%q: %d\n%s", ticket, w.Code, w.Body)
			}
		}
	})
}
