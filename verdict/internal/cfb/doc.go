// Package cfb reads compound files (MS-CFB), the container of OLE2 documents.
//
// It reads the allocation tables once, follows every chain no further than the file is long, and gives
// streams as readers, so that nothing of their size is held in memory. It is lenient where Office is:
// sizes that are too large, a file that is cut off, directory entries that no storage refers to.
package cfb
