package mailauthtest_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/verdict/mailauth"
	"github.com/postreeve/postreeve/verdict/mailauth/mailauthtest"
)

func TestZone(t *testing.T) {
	t.Parallel()
	zone := mailauthtest.Zone{
		"a.example":     {TXT: []string{"x"}, A: []string{"192.0.2.1"}, Fault: map[mailauth.RecordType]error{mailauth.MX: mailauth.ErrTemporary}},
		"Alias.example": {CNAME: "A.Example."},
		"gone.example":  {CNAME: "nobody.example"},
		"loop.example":  {CNAME: "loop.example"},
		"down.example":  {Err: mailauth.ErrTemporary},
		"x.y.example":   {A: []string{"192.0.2.2"}},
	}
	log := &mailauthtest.Log{Resolver: zone}
	for _, c := range []struct {
		name string
		kind mailauth.RecordType
		want []string
		err  error
	}{
		{"A.example.", mailauth.TXT, []string{"x"}, nil},
		{"a.example", mailauth.AAAA, nil, nil},
		{"a.example", mailauth.MX, nil, mailauth.ErrTemporary},
		{"alias.example", mailauth.A, []string{"192.0.2.1"}, nil},
		{"gone.example", mailauth.A, nil, nil},
		{"loop.example", mailauth.A, nil, mailauth.ErrTemporary},
		{"down.example", mailauth.TXT, nil, mailauth.ErrTemporary},
		{"y.example", mailauth.TXT, nil, nil},
		{"nobody.example", mailauth.TXT, nil, mailauth.ErrNotExist},
	} {
		got, err := log.Lookup(t.Context(), c.name, c.kind)
		if diff := cmp.Diff(c.want, got); diff != "" || !errors.Is(err, c.err) || c.err == nil && err != nil {
			t.Errorf("%s %s: %v %s", c.name, c.kind, err, diff)
		}
	}
	if got := log.Asked(); len(got) != 9 || got[0] != "TXT A.example." {
		t.Errorf("asked %v", got)
	}
}
