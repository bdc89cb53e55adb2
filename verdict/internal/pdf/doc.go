// Package pdf takes PDF files apart (ISO 32000-2) as far as they can do harm or lead somewhere: scripts,
// actions, embedded files, links, and images that may hold a QR code.
//
// It reads a file from its beginning to its end and takes every object that stands in it, as lenient
// readers do with a broken file: the cross-reference table is not believed. Where an object number
// occurs twice, both are looked at. Files that are encrypted without a password for opening, which
// readers show without asking, are decrypted.
package pdf
