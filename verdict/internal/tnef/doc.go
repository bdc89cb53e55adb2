// Package tnef unpacks TNEF (MS-OXTNEF), the "winmail.dat" of Outlook: the body and the attachments of a
// message that nothing but Outlook shows, with those of messages that are attached to it.
//
// Checksums are not checked, because Outlook does not care. What is cut off is used as far as it goes.
package tnef
