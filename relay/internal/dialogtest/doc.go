// Package dialogtest plays written SMTP dialogs against a server, so that the same files test every engine.
//
// A dialog is a text file; see Parse for its form. What becomes of the messages is seen by a Recorder, a
// session that does as the addresses tell it, and that watches whether the engine keeps the contract of
// smtp.Session. Listen and Pipe give connections in memory that work inside of a testing/synctest bubble,
// where a wait of minutes takes no time. A Log is read while a server writes to it.
package dialogtest
