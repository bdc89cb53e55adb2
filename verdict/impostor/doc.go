// Package impostor asks whether a message is from whom it seems to be from, and what it wants.
//
// It looks at what people see and what its writer had to write: the name beside an address, the address in a
// reply, brands in a message of somebody else, the wording of fraud, letters that stand for others, and the
// habits of the programs that send such mail:
//
//	m := verdict.NewMessage(verdict.Bytes(raw))
//	findings, err := impostor.Scanner{
//		Domains: []string{"example.com"},
//		People:  []impostor.Person{{Name: "Ann Chief", Addresses: []string{"ann@example.com"}}},
//	}.Scan(ctx, m)
//
//	fields ─── mailboxes ─┬─ people, brands, own domain, replies, first contact ─┐
//	                      └─ habits of bulk senders ─────────────────────────────┤
//	text ── folded: letters, words ── one pass over a trie of terms ── topics ───┴─ findings
//
// All of it is evidence that adds up (see verdict.Weigh); nothing here makes a message malicious, and hardly
// anything makes it spam alone. Nobody is believed because of an address: only Message.Auth proves a sender,
// and where nobody checked nothing is concluded from that.
//
// Words are compared after folding: without case, accents and characters that are not seen, with letters that
// look like others taken for these. That is how "Pаy​Pа1" becomes "paypal", and that it was written so
// is evidence of its own. Terms are in Dutch, English, French, German, Italian, Portuguese and Spanish, the commonest also in
// a dozen languages more; those in Cyrillic, Greek, Arabic, Hebrew, Chinese, Japanese, Korean and Thai are compared as written.
//
// The package asks no network and keeps nothing, but for a [Memory] of contacts if it is given one. Work is
// bounded by the text that is read, 128 KiB a message.
package impostor
