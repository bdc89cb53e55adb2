package mailauth_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/mailauth"
	"github.com/postreeve/postreeve/verdict/mailauth/mailauthtest"
)

func TestRotation(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	key := func(selector string) *mailauth.Sealer {
		return &mailauth.Sealer{Hostname: "mx.gw.example", Domain: "gw.example", Selector: selector, Key: testKeys()["ed25519"]}
	}
	old, current, next := key("old"), key("current"), key("next")
	for name, c := range map[string]struct {
		r    mailauth.Rotation
		want *mailauth.Sealer
	}{
		"none":                   {nil, nil},
		"one":                    {mailauth.Rotation{{Sealer: old}}, old},
		"two turns have come":    {mailauth.Rotation{{Sealer: old}, {now.Add(-time.Hour), current}, {now.Add(time.Hour), next}}, current},
		"in another order":       {mailauth.Rotation{{now.Add(time.Hour), next}, {now.Add(-time.Hour), current}, {Sealer: old}}, current},
		"this very moment":       {mailauth.Rotation{{Sealer: old}, {now, current}}, current},
		"the last of equal ones": {mailauth.Rotation{{Sealer: old}, {Sealer: current}}, current},
		"nobody's turn":          {mailauth.Rotation{{now.Add(time.Hour), next}}, nil},
	} {
		if got := c.r.Current(now); got != c.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
	m := message([]byte(plainHead + plainBody))
	fields, err := mailauth.Rotation{{Sealer: old}, {now, current}}.Seal(t.Context(), m, verdict.AuthResults{})
	if err != nil || !strings.Contains(string(fields), "s=current;") || strings.Contains(string(fields), "s=old;") {
		t.Errorf("%v\n%s", err, fields)
	}
	if _, err := (mailauth.Rotation{}).Seal(t.Context(), m, verdict.AuthResults{}); !errors.Is(err, mailauth.ErrNotSealed) {
		t.Error(err)
	}
}

func TestPublished(t *testing.T) {
	t.Parallel()
	for kind, key := range testKeys() {
		s := &mailauth.Sealer{Hostname: "mx.gw.example", Domain: "gw.example", Selector: "s2", Key: key}
		other := "rsa"
		if kind == other {
			other = "ed25519"
		}
		good := record(t, key)
		for name, c := range map[string]struct {
			zone mailauth.Resolver
			want string // of the error
		}{
			"there":       {mailauthtest.Zone{s.RecordName(): {TXT: []string{good}}}, ""},
			"missing":     {mailauthtest.Zone{}, "no such key"},
			"another key": {mailauthtest.Zone{s.RecordName(): {TXT: []string{record(t, testKeys()[other])}}}, "somebody else"},
			"broken":      {mailauthtest.Zone{s.RecordName(): {TXT: []string{good[:len(good)-20]}}}, ""},
			"revoked":     {mailauthtest.Zone{s.RecordName(): {TXT: []string{"v=DKIM1; p="}}}, "revoked"},
			"no answer":   {failing{}, "temporary"},
		} {
			err := s.Published(t.Context(), c.zone)
			if (err == nil) != (name == "there") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s, %s: %v", kind, name, err)
			}
		}
	}
	if (&mailauth.Sealer{}).Valid() == nil || sealer("rsa").Valid() != nil {
		t.Error("Valid")
	}
}
