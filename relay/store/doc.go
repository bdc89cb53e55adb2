// Package store keeps what must not be lost: held messages, messages whose next hop is away, the ledger of
// all messages, domains and their proofs, and who did what.
//
// Rows are in SQLite or PostgreSQL, bodies in files or in an S3-compatible object store; which of them is a
// matter of two URLs. The schema is the same. One node on SQLite and files needs nothing but a directory;
// nodes on one PostgreSQL and one bucket share everything, hold nothing of their own, and any of them may die.
//
//	st, err := store.Open(ctx, store.Config{Dir: "/var/lib/postreeve"})
//	srv := &relay.Server{Hold: st, Queue: st, Ledger: st, Notify: st, …}
//	go st.Run(ctx, store.RunConfig{Directory: directory, Bounces: smartHost}) // delivers what is queued, until ctx ends
//
// # What is durable when
//
// A body is durable (fsynced with its directory, or stored as an object) before the row that names it. All
// rows of a node go through one committer: what waits is committed in one transaction, so that durability
// is paid for once a batch and not once a message. Hold, Enqueue and RecordMessage return when their batch is
// committed. A crash in between leaves a body that no row names, which is swept away later, and a
// sender that was not told 250. The body of a row that could not be written goes at once, if it is certain that
// the row is not there and will not come.
//
// # Where the bodies are
//
// The place of the bodies and the database know each other by a mark, the file or object postreeve-store. Where it is
// missing, since a volume is not mounted or a prefix is wrong, or is another one, since a node has bodies of its own,
// Open fails: nothing of what has a row would be found. Whoever means it writes the word "new" into the mark.
//
// # Who delivers
//
// A queued message belongs to a destination, the domain it is for. The node that took it tries at once; what
// fails is tried again by a job of that destination, oldest first, with a few messages at once, and with
// growing pauses while the hop does not answer. Jobs are River's, so that any node takes over from one that
// died. Every claim on a row ends by itself, and who let one end stops working on it; what was under way then may arrive
// twice, which an event of the message says.
//
// Notices to senders have destinations of their own, "(bounces) DOMAIN". They leave by the hop of that domain where the
// Directory knows it, else by RunConfig.Bounces. What a hop refuses for its content is told only to
// senders who were vouched for when the message came, since others would hear of what they never sent; the rest is held.
// That a message is late, or went to a hop without DSN, is told to nobody else either. What became of a notice is an event
// of the message that it is about.
//
// # Taking back what was delivered
//
// Condemn orders delivered messages to be taken out of the mailboxes again, and Absolve to be put back. What does it is
// a Remediator, of which the packages m365 and gworkspace have the better part; a job asks it, on one node at a time, and
// asks again where it could not be reached or the mail was not there yet. What became of an order is an event of the
// message.
//
// # When something is broken
//
// A store that cannot write returns errors, and the relay answers 451: the sender keeps the message. Rows and
// bodies that cannot be read are set aside and reported, see Store.Check; they stop nothing else and are never
// deleted. What is not sent since its body cannot be read today, or since the Directory does not say where it goes, is not
// given up, for it was not tried: two hours after its time it is set aside too.
package store
