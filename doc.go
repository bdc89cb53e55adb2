// Package postreeve is the map of an inline e-mail security gateway that is made of packages.
//
// Mail comes in by SMTP, is judged clean, spam or malicious, and goes on to the next hop, tagged, or is
// held:
//
//	peer ── Server ── session ── Directory ── Message ── Engine.Judge ── Policy ── stamp ── NextHop → 250
//	        limits    MAIL RCPT  whose mail   body in    scanners side   what to    headers   ├ Hold
//	        TLS PROXY            is it?       memory,    by side         do         only      ├ Queue
//	                                          disk                                            └ 4xx, 5xx
//
// # Packages
//
//   - verdict: what a message is. Message, Scanner, Finding, Engine, Report. Standard library only.
//   - verdict/teststring: a scanner for EICAR, GTUBE and Postreeve's own test strings.
//   - verdict/verdicttest: messages, fake scanners and the conformance suite for authors of scanners.
//   - relay: what is done with it. Server, Directory, Policy, NextHop, Holder, Queue.
//   - relay/relaytest: an SMTP sink with faults.
//   - dnsverify: proof of domain ownership, discovery of next hops, safe cutover; dnsverify/dnstest is
//     an authoritative server made of maps.
//   - cmd/postreeve: the binary that wires them together: try, serve, check, scan.
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
