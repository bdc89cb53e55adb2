package unpack

import (
	"encoding/binary"
	"io"
)

// MayBeLocked says whether an archive seems to have encrypted members, at little cost. It may be wrong
// either way for archives that are broken.
func MayBeLocked(f Format, r io.ReaderAt, size int64) bool {
	switch f {
	case SevenZip, Rar:
		return true // their headers tell only when they are read
	case Zip:
		w := &walker{r: r, size: size, lim: Limits{Entries: 1 << 20, Directory: 1 << 20}}
		dir, err := w.zipDirectory()
		if err != nil {
			var p [8]byte
			n, _ := r.ReadAt(p[:], 0)
			return n == len(p) && binary.LittleEndian.Uint16(p[6:])&zipEncrypted != 0
		}
		for i := range dir.entries {
			if dir.entries[i].flags&zipEncrypted != 0 {
				return true
			}
		}
	}
	return false
}
