package store_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
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
		srv := httptest.NewServer(s.LinkHandler(deliverBy(h)))
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
		body := read(t, func() (verdict.Source, error) { return s.QueuedBody(ctx, list[0].ID) })
		links := regexp.MustCompile(`Release: (\S+)`).FindAllStringSubmatch(body, -1)
		if len(links) != 1 || !strings.Contains(body, "Only an administrator") || !strings.Contains(body, "Subject: hello") {
			t.Fatalf("%d links in\n%s", len(links), body)
		}
		testLink(t, s, h, links[0][1])
	})
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
	acts, err := s.Audit(t.Context(), "spam1", 10)
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
