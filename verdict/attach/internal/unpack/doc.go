// Package unpack lists what is in archives and opens it: zip, tar, cpio, ar, cab, 7z and rar, and what
// compresses a single file: gzip, bzip2, xz, lzma, lzip, zstd, lz4, zlib, compress, base64 and uuencode.
//
//	Detect(head, tail) → formats      Walk(format, bytes) → Member, Member, … → Facts
//
// It judges nothing. Names are listed also where the content is encrypted or of a method that nobody
// here can read. A zip file is read twice, by its directory and by the headers before its members, since
// programs differ in which one they believe; a member that only one of them has is listed too.
//
// The archives come from people who may have made them to break their readers: no panic leaves this
// package, memory for dictionaries is asked of a [Memory] before it is taken, and directories are
// bounded by [Limits]. What comes out of a member is not bounded here: whoever reads it does that, and
// ends the work by ending the reader of the archive.
//
// The formats of the standard library are read with it. 7z is read by bodgit/sevenzip, rar by
// nwaples/rardecode, xz and lzma by ulikunitz/xz, zstd by klauspost/compress, lz4 by pierrec/lz4; all of
// them are what sevenzip links anyway.
package unpack
