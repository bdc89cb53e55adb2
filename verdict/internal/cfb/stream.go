package cfb

import (
	"io"
)

// Open returns a reader of a stream. It ends early, with io.ErrUnexpectedEOF, if the file does not have
// all of it.
func (f *File) Open(e *Entry) io.Reader {
	s := &stream{f: f, next: e.start, left: e.Size}
	if e.Storage {
		s.left = 0
	}
	s.mini = e.Size < miniCutoff
	return s
}

// stream follows a chain. It may be a circle: then it ends where the size says.
type stream struct {
	f    *File
	mini bool
	next uint32
	left int64 // bytes of the stream that are still to come
	off  int64 // where in the file the rest of the current run is
	run  int64 // bytes of the current run
}

// Read reads runs of sectors that lie side by side at once.
func (s *stream) Read(p []byte) (int, error) {
	if s.left <= 0 {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if s.run == 0 && !s.advance(int64(len(p))) {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := s.f.r.ReadAt(p[:min(int64(len(p)), s.run, s.left)], s.off)
	s.off += int64(n)
	s.run -= int64(n)
	s.left -= int64(n)
	if n > 0 {
		return n, nil
	}
	if err == nil || err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return 0, err
}

// advance makes the next sectors the current run, about as many as are wanted.
func (s *stream) advance(want int64) bool {
	off, ok := s.locate(s.next)
	if !ok {
		return false
	}
	s.off, s.run = off, 0
	unit := s.f.sector
	if s.mini {
		unit = miniSector
	}
	for {
		s.run += unit
		s.next = s.follow(s.next)
		if s.run >= want {
			return true
		}
		if at, ok := s.locate(s.next); !ok || at != s.off+s.run {
			return true
		}
	}
}

func (s *stream) locate(n uint32) (int64, bool) {
	if n >= lastSector {
		return 0, false
	}
	if !s.mini {
		return (int64(n) + 1) * s.f.sector, int64(n) < int64(s.f.sectors())
	}
	at := int64(n) * miniSector
	if i := at / s.f.sector; i < int64(len(s.f.place)) {
		return (int64(s.f.place[i])+1)*s.f.sector + at%s.f.sector, true
	}
	return 0, false
}

func (s *stream) follow(n uint32) uint32 {
	table := s.f.fat
	if s.mini {
		table = s.f.mini
	}
	if int64(n) >= int64(len(table)) {
		return lastSector
	}
	return table[n]
}
