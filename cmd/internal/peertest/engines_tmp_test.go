package peertest

import (
	"net"
	"testing"
	"time"

	wire "github.com/emersion/go-milter"
)

func TestTmp(t *testing.T) {
	_, key := signedForMilter(t)
	addr := opendkim(t, key)
	for _, fam := range []string{"unknown", "4"} {
		c, _ := net.Dial("tcp", addr.String())
		cl := wire.NewClientWithOptions("", "", wire.ClientOptions{Dialer: ov{c}, ActionMask: 0x3f, ProtocolMask: 0x7f})
		s, err := cl.Session()
		t.Log(err, s.ProtocolOpts, s.ActionOpts)
		c.SetDeadline(time.Now().Add(2 * time.Second))
		if fam == "unknown" {
			a, err := s.Conn("unknown", wire.FamilyUnknown, 0, "")
			t.Log("conn", a, err)
		} else {
			a, err := s.Conn("[192.0.2.1]", wire.FamilyInet, 25, "192.0.2.1")
			t.Log("conn", a, err)
		}
		c.SetDeadline(time.Now().Add(2 * time.Second))
		a, err := s.Helo("x")
		t.Log("helo", a, err)
		c.SetDeadline(time.Now().Add(2 * time.Second))
		a, err = s.Mail("", nil)
		t.Log("mail", a, err)
		c.Close()
	}
}

type ov struct{ net.Conn }

func (o ov) Dial(string, string) (net.Conn, error) { return o.Conn, nil }
