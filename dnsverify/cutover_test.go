package dnsverify_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/dnsverify"
	"github.com/postreeve/postreeve/dnsverify/dnstest"
)

// policyServer serves an MTA-STS policy for mta-sts.example.com.
type policyServer struct {
	body   atomic.Pointer[string]
	status atomic.Int32
	client *http.Client
}

func newPolicyServer(t *testing.T, body string) *policyServer {
	t.Helper()
	p := &policyServer{}
	p.set(body)
	ca := newAuthority(t, "mta-sts.example.com")
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Host != "mta-sts.example.com" || r.URL.Path != "/.well-known/mta-sts.txt" && r.URL.Path != "/elsewhere":
			http.NotFound(w, r)
		case p.status.Load() != 0 && r.URL.Path != "/elsewhere":
			w.Header().Set("Location", "https://mta-sts.example.com/elsewhere")
			w.WriteHeader(int(p.status.Load()))
		default:
			fmt.Fprint(w, *p.body.Load())
		}
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{ca.cert}}
	s.StartTLS()
	t.Cleanup(s.Close)
	p.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: ca.pool},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
		},
	}}
	t.Cleanup(p.client.CloseIdleConnections)
	return p
}

func (p *policyServer) set(body string) { p.body.Store(&body) }

func policy(mode string, hosts ...string) string {
	return "version: STSv1\r\nmode: " + mode + "\r\nmx: " + strings.Join(hosts, "\r\nmx: ") + "\r\nmax_age: 86400\r\n"
}

// journey is a domain at a platform, on its way to the gateway.
type journey struct {
	*world
	planner *dnsverify.Planner
	policy  *policyServer
	move    dnsverify.Move
	plan    *dnsverify.Plan
}

const oldHost = "x-com.mail.protection.outlook.com"

func newJourney(t *testing.T) *journey {
	t.Helper()
	j := &journey{world: newWorld(t)}
	standIns(j.net)
	j.policy = newPolicyServer(t, policy("enforce", "*.mail.protection.outlook.com"))
	j.verifier.Client.HTTP = j.policy.client
	j.zone.Set("@", "3600 MX 0 "+oldHost+".")
	j.planner = &dnsverify.Planner{Verifier: j.verifier, Own: own}
	j.move = dnsverify.Move{Claim: j.claim, Gateway: []string{"mx1.gw.example.net", "a.eu.gw.example.net"}}
	return j
}

func (j *journey) start() {
	j.Helper()
	p, err := j.planner.Plan(j.Context(), j.move)
	if err != nil {
		j.Fatal(err)
	}
	j.plan = p
}

// check wants a state, and a word in its detail.
func (j *journey) check(id string, want dnsverify.Progress, word string) {
	j.Helper()
	st, err := j.planner.Check(j.Context(), j.plan, id)
	if err != nil || st.Progress != want || !strings.Contains(st.Detail, word) {
		j.Fatalf("%s: %+v, %v; want %s with %q", id, st, err, want, word)
	}
}

// elapse lets the time pass that a step needs once it is in place.
func (j *journey) elapse(id string) {
	j.Helper()
	s := j.plan.Step(id)
	if s.Seen.IsZero() {
		j.Fatalf("step %s was not seen in place", id)
	}
	s.Seen = s.Seen.Add(-s.Wait)
}

// pass checks a step that is in place, waits for it, and wants it done.
func (j *journey) pass(id string) {
	j.Helper()
	if j.plan.Step(id).Wait > 0 {
		j.check(id, dnsverify.StepNotYet, "wait until")
		j.elapse(id)
	}
	j.check(id, dnsverify.StepDone, "")
}

func (j *journey) confirm(id string) {
	j.Helper()
	j.check(id, dnsverify.StepNotYet, "confirm")
	if err := j.plan.Confirm(id, "ann"); err != nil {
		j.Fatal(err)
	}
	j.pass(id)
}

func ids(p *dnsverify.Plan) string {
	var out []string
	for _, s := range p.Steps {
		out = append(out, s.ID)
	}
	return strings.Join(out, " ")
}

// set replaces the MX records with those that are named: "0 host".
func (j *journey) mx(ttl int, records ...string) {
	for i, r := range records {
		records[i] = fmt.Sprintf("%d MX %s.", ttl, r)
	}
	j.zone.Set("@", records...)
}

const gw1, gw2 = "mx1.gw.example.net", "a.eu.gw.example.net"

// TestCutoverAndBack goes the whole way with all waits, and back.
func TestCutoverAndBack(t *testing.T) {
	t.Parallel()
	j := newJourney(t)
	j.zone.Set("_mta-sts", txt("v=STSv1; id=1;"))
	j.start()
	if got, want := ids(j.plan), "ttl proof hop allow policy mx watch old drain exposure lock"; got != want {
		t.Fatalf("steps %q, want %q", got, want)
	}
	j.check("mx", dnsverify.StepNotYet, "First comes")
	j.check("ttl", dnsverify.StepNotYet, "TTL of 1h")
	j.mx(300, "0 "+oldHost)
	j.pass("ttl")
	j.check("proof", dnsverify.StepNotYet, "not there")
	j.zone.Set(owner, j.token())
	j.pass("proof")
	j.pass("hop")
	j.confirm("allow")
	j.check("policy", dnsverify.StepNotYet, gw1)
	j.policy.set(policy("enforce", "*.mail.protection.outlook.com", gw1, "*.eu.gw.example.net"))
	j.pass("policy")

	j.check("mx", dnsverify.StepNotYet, "0 of 2")
	j.mx(0, "0 "+gw1, "10 "+gw2, "0 "+oldHost)
	j.check("mx", dnsverify.StepWrong, "not behind")
	j.mx(0, "0 "+gw1, "10 "+gw2, "10 "+oldHost)
	j.check("mx", dnsverify.StepWrong, "not behind")
	j.zone.SetOn(0, "@", "10 MX 0 "+gw1+".", "10 MX 10 "+gw2+".", "10 MX 20 "+oldHost+".")
	j.check("mx", dnsverify.StepWrong, "not behind")
	j.mx(0, "0 "+gw1, "10 "+gw2, "20 "+oldHost)
	j.pass("mx")
	j.pass("watch")
	j.check("old", dnsverify.StepNotYet, oldHost)
	j.mx(0, "0 "+gw1, "10 "+gw2)
	j.pass("old")
	j.pass("drain")
	j.zone.Set("*", "MX 0 "+oldHost+".")
	j.check("exposure", dnsverify.StepWrong, "wildcard")
	j.zone.Set("*")
	j.pass("exposure")
	j.confirm("lock")
	if s := j.plan.Next(); s != nil {
		t.Fatalf("step %s is left", s.ID)
	}

	back, err := j.plan.Back()
	if err != nil {
		t.Fatal(err)
	}
	j.plan = back
	if got, want := ids(back), "keep unlock policy mx watch ours drain cleanup record"; got != want {
		t.Fatalf("steps back %q, want %q", got, want)
	}
	j.confirm("keep")
	j.confirm("unlock")
	j.pass("policy")
	j.mx(0, "0 "+oldHost)
	j.mx(0, "0 "+oldHost, "10 "+gw1, "20 "+gw2)
	j.pass("mx")
	j.pass("watch")
	j.check("ours", dnsverify.StepNotYet, gw1)
	j.mx(0, "0 "+oldHost)
	j.pass("ours")
	j.pass("drain")
	j.check("cleanup", dnsverify.StepNotYet, "policy lists")
	j.policy.set(policy("enforce", "*.mail.protection.outlook.com"))
	j.zone.Set("_dmarc", txt("v=DMARC1; p=none; rua=mailto:x@b.eu.gw.example.net"))
	j.check("cleanup", dnsverify.StepNotYet, "_dmarc")
	j.zone.Set("_dmarc")
	j.pass("cleanup")
	j.check("record", dnsverify.StepNotYet, "still there")
	j.zone.Set(owner)
	j.confirm("record")
	if s := j.plan.Next(); s != nil {
		t.Fatalf("step %s is left", s.ID)
	}
}

func TestCutoverChecks(t *testing.T) {
	t.Parallel()
	// ready goes as far as the MX records.
	ready := func(j *journey) {
		j.mx(300, "10 "+oldHost)
		j.start()
		j.zone.Set(owner, j.token())
		j.pass("proof")
		j.pass("hop")
		j.confirm("allow")
	}
	tests := []struct {
		name string
		run  func(j *journey)
	}{
		{"a server that lags is named", func(j *journey) {
			ready(j)
			j.zone.Server(1).Fault(dnstest.Split)
			j.mx(0, "0 "+gw1, "10 "+gw2, "20 "+oldHost)
			st, err := j.planner.Check(j.Context(), j.plan, "mx")
			if err != nil || st.Progress != dnsverify.StepNotYet || len(st.Servers) != 1 || !strings.HasPrefix(st.Servers[0], "ns2.example.com") {
				j.Errorf("%+v, %v", st, err)
			}
		}},
		{"a resolver that lags is named", func(j *journey) {
			ready(j)
			ask(j, "example.com", "MX")
			j.mx(0, "0 "+gw1, "10 "+gw2, "20 "+oldHost)
			j.pass("mx")
			st, err := j.planner.Check(j.Context(), j.plan, "watch")
			if err != nil || st.Progress != dnsverify.StepNotYet || len(st.Servers) != 1 || !strings.HasPrefix(st.Servers[0], "resolver ") {
				j.Errorf("%+v, %v", st, err)
			}
		}},
		{"an unknown host is wrong", func(j *journey) {
			ready(j)
			j.mx(0, "0 "+gw1, "10 "+gw2, "20 "+oldHost, "30 mail.evil.example")
			j.pass("mx")
			j.mx(0, "0 "+gw1, "10 "+gw2, "30 mail.evil.example")
			j.check("mx", dnsverify.StepWrong, "neither side")
		}},
		{"a step that is undone is not done any more", func(j *journey) {
			ready(j)
			j.zone.Set(owner)
			j.check("proof", dnsverify.StepNotYet, "not there")
			j.check("mx", dnsverify.StepNotYet, "First comes: Prove")
		}},
		{"dead servers are no answer", func(j *journey) {
			ready(j)
			before, _ := json.Marshal(j.plan)
			j.zone.Fault(dnstest.Silent)
			if st, err := j.planner.Check(j.Context(), j.plan, "mx"); err == nil {
				j.Errorf("Check with dead servers: %+v", st)
			}
			if after, _ := json.Marshal(j.plan); string(after) != string(before) {
				j.Error("the plan was changed")
			}
		}},
		{"all MX records gone is wrong", func(j *journey) {
			ready(j)
			j.mx(0, "0 "+gw1, "10 "+gw2, "20 "+oldHost)
			j.pass("mx")
			j.pass("watch")
			j.zone.Set("@")
			j.check("old", dnsverify.StepWrong, "no MX record at all")
		}},
		{"a probe decides about the lock", func(j *journey) {
			h := &hop{open: true}
			at := serveHop(j.T, h, nil)
			j.zone.Set("mail", "A 127.0.0.1")
			j.mx(300, "10 mail.example.com")
			j.planner.Prober = &dnsverify.Prober{Client: j.verifier.Client, Own: own, Port: at.Port(), Recipient: "user@example.com"}
			j.start()
			for i := range j.plan.Steps {
				if s := &j.plan.Steps[i]; s.ID != "lock" {
					s.Done = time.Now()
				}
			}
			j.check("lock", dnsverify.StepNotYet, "yes to mail from strangers")
			j.planner.Prober.Recipient = ""
			j.check("lock", dnsverify.StepNotYet, "confirm")
		}},
		{"a host that lets the gateway in is not unlocked by that", func(j *journey) {
			at := serveHop(j.T, &hop{open: true}, nil)
			j.zone.Set("mail", "A 127.0.0.1")
			j.mx(300, "10 mail.example.com")
			j.planner.Prober = &dnsverify.Prober{Client: j.verifier.Client, Own: own, Port: at.Port(), Recipient: "user@example.com"}
			j.start()
			back, err := j.plan.Back()
			if err != nil {
				j.Fatal(err)
			}
			j.plan = back
			j.confirm("unlock")
		}},
		{"a policy that came after the cutover is on the way back", func(j *journey) {
			j.start()
			if got := ids(j.plan); strings.Contains(got, "policy") {
				j.Fatalf("steps %q", got)
			}
			j.zone.Set("_mta-sts", txt("v=STSv1; id=1;"))
			j.policy.set(policy("enforce", gw1, gw2))
			back, err := j.planner.Back(j.Context(), j.plan)
			if err != nil || !strings.HasPrefix(ids(back), "keep unlock policy mx") || len(back.Problems) > 0 {
				j.Fatalf("back: %+v, %v", back, err)
			}
			if j.plan.Policy != nil {
				j.Error("the plan was changed")
			}
			j.plan = back
			j.check("policy", dnsverify.StepNotYet, oldHost)
			j.policy.set(policy("enforce", gw1, gw2, oldHost))
			if s := j.plan.Step("policy"); s.Wait != 24*time.Hour {
				j.Errorf("wait %v", s.Wait)
			}
			j.pass("policy")
		}},
		{"a policy that cannot be had is no reason to stay, and is told", func(j *journey) {
			j.start()
			j.zone.Set("_mta-sts", txt("v=STSv1; id=1;"))
			j.policy.status.Store(500)
			back, err := j.planner.Back(j.Context(), j.plan)
			if err != nil || len(back.Problems) != 1 || !strings.Contains(back.Text(), "note: The answer could not be had now. An MTA-STS policy") {
				j.Errorf("back: %+v, %v", back, err)
			}
		}},
		{"a policy that cannot be had is not gone", func(j *journey) {
			j.mx(0, "0 "+oldHost)
			j.start()
			back, err := j.plan.Back()
			if err != nil {
				j.Fatal(err)
			}
			back.Step("cleanup").Needs = nil
			j.zone.Set("_mta-sts", txt("v=STSv1; id=1;"))
			j.policy.status.Store(500)
			if st, err := j.planner.Check(j.Context(), back, "cleanup"); err == nil {
				j.Errorf("Check: %+v", st)
			}
		}},
		{"no TTL step for short TTLs, no policy step without policy", func(j *journey) {
			j.mx(60, "10 "+oldHost)
			j.start()
			if got := ids(j.plan); strings.Contains(got, "ttl") || strings.Contains(got, "policy") {
				j.Errorf("steps %q", got)
			}
		}},
		{"a policy in mode testing blocks nothing", func(j *journey) {
			j.zone.Set("_mta-sts", txt("v=STSv1; id=1;"))
			j.policy.set(policy("testing", oldHost))
			j.start()
			if got := ids(j.plan); strings.Contains(got, "policy") {
				j.Errorf("steps %q", got)
			}
		}},
		{"a plan of another version", func(j *journey) {
			j.start()
			j.plan.Version++
			if st, err := j.planner.Check(j.Context(), j.plan, "hop"); err == nil {
				j.Errorf("%+v", st)
			}
		}},
		{"a person cannot confirm what is looked at", func(j *journey) {
			j.start()
			for id, by := range map[string]string{"mx": "ann", "allow": " ", "none": "ann"} {
				if err := j.plan.Confirm(id, by); err == nil {
					j.Errorf("Confirm(%q, %q) succeeded", id, by)
				}
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.run(newJourney(t))
		})
	}
}

// ask puts a question to the resolver, so that it remembers the answer.
func ask(j *journey, name, _ string) {
	j.Helper()
	c := j.net.Client()
	p := &dnsverify.Planner{Verifier: &dnsverify.Verifier{Challenge: j.verifier.Challenge, Client: c}, Own: own}
	plan := *j.plan
	plan.Steps = []dnsverify.Step{{ID: dnsverify.StepWatch}}
	if _, err := p.Check(j.Context(), &plan, dnsverify.StepWatch); err != nil {
		j.Fatal(name, err)
	}
}

func TestPlanRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		set  func(j *journey)
		code dnsverify.Code
	}{
		{"null MX", func(j *journey) { j.zone.Set("@", "MX 0 .") }, dnsverify.NullMX},
		{"connected already", func(j *journey) { j.mx(60, "0 "+gw1) }, ""},
		{"no next hop", func(j *journey) { j.mx(60, "0 mx.eu1.pphosted.com") }, dnsverify.NextHopRefused},
		{"next hop is ourselves", func(j *journey) { j.move.NextHop = gw1 }, dnsverify.MXPointsToSelf},
		{"submission service", func(j *journey) { j.move.NextHop = "smtp.office365.com" }, dnsverify.NextHopRefused},
		{"host that is not ours", func(j *journey) { j.move.Gateway = []string{"mx.evil.example"} }, ""},
		{"policy that cannot be fetched", func(j *journey) {
			j.zone.Set("_mta-sts", txt("v=STSv1; id=1;"))
			j.policy.status.Store(500)
		}, dnsverify.Temporary},
		{"policy behind a redirect", func(j *journey) {
			j.zone.Set("_mta-sts", txt("v=STSv1; id=1;"))
			j.policy.status.Store(302)
		}, dnsverify.Temporary},
		{"several policies", func(j *journey) {
			j.zone.Set("_mta-sts", txt("v=STSv1; id=1;"), txt("v=STSv1; id=2;"))
		}, dnsverify.MTASTSMultiple},
		{"server failure", func(j *journey) { j.zone.Fault(dnstest.ServFail) }, dnsverify.LameServers},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := newJourney(t)
			tt.set(j)
			p, err := j.planner.Plan(t.Context(), j.move)
			var pr *dnsverify.Problem
			if err == nil || tt.code != "" && (!errors.As(err, &pr) || pr.Code != tt.code) {
				t.Errorf("Plan: %+v, %v; want %q", p, err, tt.code)
			}
		})
	}
}

// TestPlanIsData wants a plan to survive JSON, and its text to have all records in it.
func TestPlanIsData(t *testing.T) {
	t.Parallel()
	j := newJourney(t)
	j.zone.Set("_mta-sts", txt("v=STSv1; id=1;"))
	j.start()
	data, err := json.Marshal(j.plan)
	if err != nil {
		t.Fatal(err)
	}
	var again dnsverify.Plan
	if err := json.Unmarshal(data, &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(j.plan, &again); diff != "" {
		t.Errorf("after JSON:\n%s", diff)
	}
	text := again.Text()
	for _, want := range []string{
		"+ example.com. 300 IN MX 0 mx1.gw.example.net.", "+ example.com. 300 IN MX 20 " + oldHost + ".",
		"- example.com. 3600 IN MX 0 " + oldHost + ".", "+ " + j.plan.Record.ZoneLine(), "+ mx: mx1.gw.example.net", "then wait 24h", "then wait 72h",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}
