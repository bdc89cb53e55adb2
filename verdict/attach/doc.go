// Package attach looks into the attachments of a message: what they are, whatever they are called, and
// what is in them.
//
//	parts ── type by content, name ── archives, documents ── files in them ── … ── verdict.Codes
//
// The type is told by content before extension before declaration. Programs, scripts, shortcuts and what
// else starts something by a double click is reported by its own code, and so are names that are made to
// hide what a file is. Archives are opened ([Limits]), also those within documents and documents within
// archives: zip, tar, cpio, ar, cab, 7z, rar, ISO 9660, gzip, bzip2, xz, lzma, lzip, zstd, lz4, compress,
// base64, uuencode, BinHex, TNEF and signed S/MIME; names are listed also where content is encrypted.
// Documents are taken apart for macros, formulas and fields that start programs, links that are followed by
// themselves, scripts, and embedded files.
//
// What was found is a plain fact with a code; the table of package verdict says what it makes a message
// and why. What could not be looked at is a finding with an Err and is never clean: encrypted content is
// for the policy to decide, with its codes archive.locked and attachment.locked. If the message gives the
// password, it is tried.
//
// Nothing is executed, fetched or written to a named file. The work on one message is bounded in time,
// output, members, depth and memory, whatever the message says.
//
// # Size
//
// This package adds about 6 MB to a binary: the readers for 7z and rar, and what the one for 7z brings with
// it (other decoders, a file system abstraction, and through that net/http, of which nothing is used). Who
// wants none of it does not import this package; verdict does not.
package attach
