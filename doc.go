// Package postreeve is the map of an inline e-mail security gateway that is made of packages.
//
// Mail comes in by SMTP, is judged clean, spam or malicious, and goes on to the next hop, tagged, or is
// held:
//
//	peer ── Server ── session ── Directory ── Message ── Authenticate ── Engine.Judge ── Policy ── stamp ── NextHop → 250
//	        limits    MAIL RCPT  whose mail   body in    SPF, DKIM,      scanners side   what to    headers   ├ Hold
//	        TLS PROXY            is it?       memory,    DMARC, ARC      by side         do         only      ├ Queue
//	                                          disk                                                            └ 4xx, 5xx
//
// # Packages
//
//   - verdict: what a message is. Message, Scanner, Finding, Engine, Report. Standard library only.
//   - verdict/attach, verdict/links, verdict/impostor, verdict/teststring: the built-in scanners.
//   - verdict/mailauth: SPF, DKIM, DMARC and ARC; verdict/mailauth/mailauthtest has a world of DNS for it.
//   - verdict/clamd, rspamd, spamd, icap, milter, webhook, exec: scanners that ask another engine.
//   - verdict/verdicttest: messages, fake scanners and the conformance suite for authors of scanners.
//   - relay: what is done with it. Server, Directory, Policy, NextHop, Holder, Queue.
//   - relay/store: quarantine, queue, ledger: SQLite and files, or PostgreSQL and S3.
//   - relay/relaytest: an SMTP sink with faults, and conformance suites.
//   - dnsverify: proof of domain ownership, discovery of next hops, safe cutover; dnsverify/dnstest is
//     an authoritative server made of maps.
//   - m365: a Microsoft 365 tenant: plan, apply, verify, undo; m365/m365test is one.
//   - gworkspace: a Google Workspace tenant: plan, check, undo; gworkspace/gworkspacetest is one.
//   - cmd/postreeve: the binary that wires them together.
//   - examples: programs of less than 60 lines.
//
// # A gateway in 20 lines
//
//	func main() {
//		shout := verdict.Func("shout", func(_ context.Context, m *verdict.Message) ([]verdict.Finding, error) {
//			if s := m.Header().Text("Subject"); s == strings.ToUpper(s) && s != strings.ToLower(s) {
//				return []verdict.Finding{{Code: "shout.subject", Class: verdict.Spam}}, nil
//			}
//			return nil, nil
//		})
//		gw := &relay.Server{
//			Hostname: "mx.gw.example",
//			Directory: relay.Static{"example.net": {
//				Name: "example.net",
//				Next: &relay.SMTP{Hosts: []string{"127.0.0.1:2599"}, Hostname: "mx.gw.example"},
//			}},
//			Judge:  &verdict.Engine{Scanners: []verdict.Scanner{shout}},
//			Logger: slog.Default(),
//		}
//		ln, err := net.Listen("tcp", "127.0.0.1:2525")
//		if err != nil {
//			log.Fatal(err)
//		}
//		log.Fatal(gw.Serve(context.Background(), ln))
//	}
//
// # Who may import whom
//
// cmd and examples may import everything; relay may import verdict; a subpackage its parent, never the
// reverse; verdict, dnsverify, m365 and gworkspace nothing of this module. What is heavy (SQL, object
// stores, metrics, web pages) is imported by leaf packages only, so that who imports verdict or relay
// links none of it. A test in cmd/internal/archtest holds this.
package postreeve
