package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/postreeve/postreeve/relay/internal/smtpclient"
)

// search goes through the hosts of the next hop until one answers. It is bounded in hosts, addresses
// and time.
type search struct {
	s      *SMTP
	parent context.Context
	ctx    context.Context
	cancel context.CancelFunc
	stop   func() bool

	started bool
	hosts   []target
	addrs   []candidate // of the host at hand, not yet tried
	tried   int
	errs    []error
	reply   *Reply // the first temporary one, else the last
}

func (s *SMTP) search(ctx context.Context) *search {
	d := &search{s: s, parent: ctx}
	d.ctx, d.cancel = context.WithTimeout(ctx, cmp.Or(s.Timeouts.Reach, 2*time.Minute))
	d.stop = context.AfterFunc(s.pool.ctx, d.cancel)
	return d
}

func (d *search) end() {
	d.stop()
	d.cancel()
}

// failed notes what happened at a host.
func (d *search) failed(at fmt.Stringer, r *Reply) {
	if r.Err != nil {
		d.errs = append(d.errs, r.Err)
	} else {
		d.errs = append(d.errs, fmt.Errorf("next hop %s: %w", at, r))
	}
	if d.reply == nil || d.reply.Code >= 500 {
		d.reply = r
	}
}

// next returns the next connection that can be had. The error after the last has the reasons of all.
func (d *search) next() (*hopConn, error) {
	if !d.started {
		d.started = true
		hosts, r := d.s.targets(d.ctx)
		if r != nil {
			return nil, d.fatal(r)
		}
		d.hosts = hosts
	}
	for d.ctx.Err() == nil && d.tried < maxTried {
		if len(d.addrs) == 0 && len(d.hosts) == 0 {
			break
		}
		if len(d.addrs) == 0 {
			if r := d.resolve(); r != nil {
				return nil, d.fatal(r)
			}
			continue
		}
		at := d.addrs[0]
		d.addrs = d.addrs[1:]
		c, r := d.try(at)
		if c != nil {
			return c, nil
		}
		if r.Enhanced == (EnhancedCode{5, 4, 6}) {
			return nil, d.fatal(r)
		}
		d.failed(at, r)
	}
	return nil, d.exhausted()
}

// fatal ends the search.
func (d *search) fatal(r *Reply) error {
	if errors.Is(r.Err, errSelf) {
		d.s.log().Error("next hop is ourselves: mail would loop, look at Hosts, MX and Hostname", "error", r.Err)
	}
	return r
}

// resolve takes the next host. Its reply is not nil if the search must end.
func (d *search) resolve() *Reply {
	t := d.hosts[0]
	d.hosts = d.hosts[1:]
	addrs, r := d.s.addresses(d.ctx, t)
	if r == nil {
		d.addrs = addrs
		return nil
	}
	if errors.Is(r.Err, errSelf) {
		// RFC 5321 section 5.1: only hosts better than ourselves are left.
		d.hosts = slices.DeleteFunc(slices.Clone(d.hosts), func(o target) bool { return o.rank >= t.rank })
		if len(d.errs) == 0 && len(d.hosts) == 0 {
			return r
		}
		r = &Reply{Code: 451, Enhanced: EnhancedCode{4, 4, 4}, Text: "no route to the next hop", Err: r.Err}
	}
	d.failed(candidate{target: t}, r)
	return nil
}

// try connects to one address.
func (d *search) try(at candidate) (*hopConn, *Reply) {
	s := d.s
	if err := s.health.allow(at.addr); err != nil {
		return nil, &Reply{Code: 451, Enhanced: EnhancedCode{4, 4, 1}, Text: "next hop not reachable", Err: fmt.Errorf("next hop %s: %w", at, err)}
	}
	d.tried++
	timeout := cmp.Or(s.Timeouts.Connect, 30*time.Second)
	if len(d.addrs) > 0 || len(d.hosts) > 0 {
		timeout /= 3
	}
	c, err := s.connect(d.ctx, at, timeout)
	d.judge(at, err)
	if err == nil {
		return c, nil
	}
	if errors.Is(err, errSelf) {
		return nil, selfReply(at.String())
	}
	if e, ok := errors.AsType[*smtpclient.Error](err); ok {
		return nil, hopReply(e, at)
	}
	return nil, dnsReply(err)
}

// judge tells the health of an address. A failure counts if it is one of the network or the greeting,
// and not if the caller went away.
func (d *search) judge(at candidate, err error) {
	s := d.s
	e, _ := errors.AsType[*smtpclient.Error](err)
	switch {
	case errors.Is(d.parent.Err(), context.Canceled), s.pool.ctx.Err() != nil:
		s.health.unknown(at.addr)
	case err == nil, errors.Is(err, errSelf), e != nil && e.Stage == smtpclient.StartTLS:
		if down := s.health.good(at.addr); down > 0 {
			s.log().Info("next hop answers again", "hop", at.String(), "down", down.Round(time.Second))
		}
	default:
		if pause := s.health.bad(at.addr); pause > 0 {
			s.log().Warn("next hop fails again and again, leaving it alone", "hop", at.String(), "error", err, "for", pause)
		}
	}
}

// exhausted is the error when no host is left: the reply of one, the reasons of all.
func (d *search) exhausted() error {
	if err := d.ctx.Err(); err != nil {
		d.errs = append(d.errs, fmt.Errorf("looking for a next hop: %w", context.Cause(d.ctx)))
	}
	r := Reply{Code: 451, Enhanced: EnhancedCode{4, 4, 1}, Text: "next hop not reachable"}
	if d.reply != nil {
		r = *d.reply
	}
	r.Err = errors.Join(d.errs...)
	return &r
}

// dial opens a TCP connection.
func (s *SMTP) dial(ctx context.Context, at candidate, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if s.Dial != nil {
		return s.Dial(ctx, "tcp", at.addr.String())
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", at.addr.String())
}
