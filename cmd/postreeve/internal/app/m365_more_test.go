package app_test

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/app"
	"github.com/postreeve/postreeve/m365/m365test"
	"github.com/postreeve/postreeve/relay/relaytest"
)

// In mode mx-first the lock is made off, and turned on by a later call that says that the MX records moved.
func TestM365MXFirst(t *testing.T) {
	t.Parallel()
	d := newTenantDesk(t, strings.Replace(m365Profile, "eop-first", "mx-first", 1))
	before := d.Snapshot()
	lock := func() any {
		for _, c := range d.Objects("InboundConnector") {
			if c["Name"] == "Inbound from Postreeve Only" {
				return c["Enabled"]
			}
		}
		return nil
	}
	got := d.run(t, 0, "apply", "--yes", "--mx-moved", "no")
	if lock() != false || !strings.Contains(got.out, "for a person: ") {
		t.Errorf("the lock is %v before the MX records moved:\n%s", lock(), got.out)
	}
	writes := d.Writes()
	d.run(t, 0, "apply", "--yes", "--mx-moved", "no")
	if d.Writes() != writes {
		t.Error("the second run wrote")
	}
	d.run(t, 2, "plan", "--mx-moved", "yes")
	d.run(t, 0, "apply", "--yes", "--mx-moved", "yes")
	if lock() != true {
		t.Errorf("the lock is %v after the MX records moved", lock())
	}
	got = d.run(t, 2, "offboard", "--yes", "--mx-moved", "yes")
	if lock() != false || !strings.Contains(got.out, "left: ") {
		t.Errorf("the lock is %v, and the rest waits for the MX records:\n%s", lock(), got.out)
	}
	d.run(t, 0, "offboard", "--yes", "--mx-moved", "no")
	if diff := cmp.Diff(string(before), string(d.Snapshot())); diff != "" {
		t.Errorf("the tenant is not as it was (-before +after):\n%s", diff)
	}
}

// TestM365KilledOffboard ends the way out in its middle; the same call finishes it.
func TestM365KilledOffboard(t *testing.T) {
	t.Parallel()
	d := newTenantDesk(t, m365Profile)
	before := d.Snapshot()
	d.run(t, 0, "apply", "--yes")
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	d.Inject(m365test.Fault{Kind: m365test.DropAfter, Write: d.Writes() + 4, Then: kill})
	var out, errw bytes.Buffer
	if code := app.Run(ctx, d.args("offboard", "--yes"), strings.NewReader(""), &out, &errw); code != 1 {
		t.Errorf("killed: exit %d\n%s", code, errw.String())
	}
	d.run(t, 0, "offboard", "--yes")
	if diff := cmp.Diff(string(before), string(d.Snapshot())); diff != "" {
		t.Errorf("the tenant is not as it was (-before +after):\n%s", diff)
	}
}

// What a person changed after us stays, unless it is forced.
func TestM365HumanChange(t *testing.T) {
	t.Parallel()
	d := newTenantDesk(t, strings.Replace(m365Profile, "hardened", "classic", 1))
	d.run(t, 0, "apply", "--yes")
	d.Change("HostedContentFilterPolicy", "Default", m365test.Object{"HighConfidenceSpamAction": "Delete"})
	got := d.run(t, 2, "offboard", "--yes")
	if !strings.Contains(got.out, "HighConfidenceSpamAction: stays Delete") {
		t.Errorf("it is not said that something stays:\n%s", got.out)
	}
	d.run(t, 0, "offboard", "--yes", "--force")
	if v := d.Objects("HostedContentFilterPolicy")[0]["HighConfidenceSpamAction"]; v != "Quarantine" {
		t.Errorf("forced: HighConfidenceSpamAction is %v", v)
	}
}

func TestM365Vendor(t *testing.T) {
	t.Parallel()
	d := newTenantDesk(t, m365Profile)
	before := d.Snapshot()
	d.Add("OutboundConnector", m365test.Object{"Name": "Perception Point Scanning", "SmartHosts": []string{"in.vendor.example"}, "IsTransportRuleScoped": true, "UseMXRecord": false})
	d.Add("TransportRule", m365test.Object{"Name": "Perception Point Redirect Rule", "RouteMessageOutboundConnector": "Perception Point Scanning", "FromScope": "NotInOrganization"})
	args := func(more ...string) []string {
		all := d.args("offboard", append([]string{"--vendor", "perception-point", "--egress", "192.0.2.200", "--smart-host", "in.vendor.example"}, more...)...)
		return append(all[:2:2], all[4:]...) // without a profile
	}
	if got := run(t, "", args("--dry-run")...); got.code != 2 || !strings.Contains(got.out, "Perception Point Scanning") || d.Writes() != 0 {
		t.Errorf("dry run: %+v", got)
	}
	if got := run(t, "", args("--yes")...); got.code != 0 {
		t.Fatalf("offboard: %+v", got)
	}
	if diff := cmp.Diff(string(before), string(d.Snapshot())); diff != "" {
		t.Errorf("something is left (-before +after):\n%s", diff)
	}
	if got := run(t, "", args("--yes")...); got.code != 0 {
		t.Errorf("again: %+v", got)
	}
}

// A message through the loop is sent by SMTP and found by Graph.
func TestM365Canary(t *testing.T) {
	t.Parallel()
	d := newTenantDesk(t, m365Profile)
	d.run(t, 0, "apply", "--yes")
	sink := &relaytest.Sink{}
	args := d.args("verify", "--canary", "u1@contoso.example", "--canary-via", sink.Start(t), "--canary-from", "a@ex.org", "--canary-time", "5s")
	args = append(args[:len(args)-9:len(args)-9], args[len(args)-8:]...) // without --no-wait
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	delivered := make(chan struct{})
	go func() {
		defer close(delivered)
		for ctx.Err() == nil {
			if all := sink.Messages(); len(all) > 0 {
				id := regexp.MustCompile(`(?m)^Message-ID: (<.*>)`).FindSubmatch(all[0].Data)
				d.AddMessage("u1@contoso.example", m365test.Message{MessageID: string(id[1]), Headers: map[string]string{"X-Postreeve-Verdict": "CLEAN", "Authentication-Results": "compauth=pass arc=pass"}})
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	var out, errw bytes.Buffer
	code := app.Run(ctx, args, strings.NewReader(""), &out, &errw)
	cancel()
	<-delivered
	if code != 0 || !strings.Contains(out.String(), "no drift") || !strings.Contains(errw.String(), "waiting for a message to come through the gateway") {
		t.Errorf("exit %d\n%s%s", code, out.String(), errw.String())
	}
}
