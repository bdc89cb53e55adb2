// Package verdicttest is for those who write scanners, and for those who use them: messages, fake
// scanners, a server that breaks connections, and a suite that shows whether a scanner keeps the
// promises of verdict.Scanner.
//
// Messages come from files ([Load]), from strings ([New]), from a [Mail], or are one of the samples
// [Clean], [Spam], [Malicious], [Text] and [Big]. [Hostile] yields bytes that have hurt mail software.
//
// A scanner that works in process is tested in three lines:
//
//	verdicttest.Run(t, verdicttest.Suite{
//		New: func(testing.TB, net.Addr) verdict.Scanner { return lottery.Scanner{} },
//		Hit: func(tb testing.TB) *verdict.Message { return verdicttest.New(tb, "Subject: You won\n\n") },
//	})
//
// One that asks an engine over the network also says how to start a stand-in for it (Suite.Engine). A
// [FaultServer] is then put in between: refused, reset, cut, late, endless and senseless answers must
// all become errors, in time, and never a clean message.
//
// What [Finds], [Fails], [Slow] and the others return are scanners for the tests of engines and gateways.
// They are honest: they fail the test when they are used in a way that the contract does not allow.
// [Lend] does the same for messages.
package verdicttest
