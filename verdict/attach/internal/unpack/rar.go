package unpack

import (
	"errors"
	"fmt"
	"io"

	"github.com/nwaples/rardecode/v2"
)

// maxRar is the largest dictionary of a rar file that is taken; 32 MiB is what WinRAR sets by itself.
const maxRar = 32 << 20

// rar lists a rar file of format 1.5 to 7. Only the first volume of several is there.
func (w *walker) rar() error {
	giveBack, err := w.lim.Memory.take(maxRar)
	if err != nil {
		return err
	}
	defer giveBack()
	if !w.rarRounds() {
		w.lim.Passwords = nil
	}
	err = w.rarWith(nil)
	if !errors.Is(err, rardecode.ErrArchiveEncrypted) {
		return rarError(err)
	}
	// Old archives do not say whether a password is right: with a wrong one there is no header.
	if pass := w.rarPassword(func(rr *rardecode.Reader) bool { _, err := rr.Next(); return err == nil }); pass != nil {
		return rarError(w.rarWith(pass))
	}
	w.facts.Locked = true
	return fmt.Errorf("%w: a rar file whose names are encrypted too", ErrLocked)
}

// openRar begins to read, with a password if there is one.
func (w *walker) openRar(pass *string) (*rardecode.Reader, error) {
	opts := []rardecode.Option{rardecode.MaxDictionarySize(maxRar)}
	if pass != nil {
		opts = append(opts, rardecode.Password(*pass))
	}
	return rardecode.NewReader(w.section(), opts...)
}

// rarPassword returns the first password with which the file fits, and notes it; nil if there is none.
func (w *walker) rarPassword(fits func(*rardecode.Reader) bool) *string {
	for _, pass := range w.lim.Passwords {
		if w.ctx.Err() != nil {
			break
		}
		if rr, err := w.openRar(&pass); err == nil && fits(rr) {
			w.facts.Password = pass
			return &pass
		}
	}
	return nil
}

func (w *walker) rarWith(pass *string) error {
	rr, err := w.openRar(pass)
	if err != nil {
		return err
	}
	var locked []*rardecode.FileHeader
	for {
		h, err := rr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if pass == nil && h.Encrypted && len(w.lim.Passwords) > 0 {
			locked = append(locked, h)
			if len(locked) > w.lim.Entries {
				return fmt.Errorf("%w: more than %d members", ErrLimit, w.lim.Entries)
			}
			continue
		}
		if err := w.see(w.memberRar(rr, h, pass)); err != nil {
			return seen{err}
		}
	}
	if len(locked) == 0 {
		return nil
	}
	return w.rarLocked(locked)
}

// rarLocked lists members that are encrypted, again from the beginning if a password fits.
func (w *walker) rarLocked(locked []*rardecode.FileHeader) error {
	if pass := w.rarPassword(rarFits); pass != nil {
		return w.rarOpened(pass)
	}
	for _, h := range locked {
		if err := w.see(w.memberRar(nil, h, nil)); err != nil {
			return seen{err}
		}
	}
	return nil
}

// rarFits says whether the first encrypted member can be read. Old archives do not say whether a password
// is right: the content shows it.
func rarFits(rr *rardecode.Reader) bool {
	for {
		h, err := rr.Next()
		if err != nil {
			return false
		}
		if h.Encrypted {
			_, err := io.CopyN(io.Discard, rr, 1)
			return err == nil || err == io.EOF
		}
	}
}

// rarOpened lists the encrypted members with the password that fits.
func (w *walker) rarOpened(pass *string) error {
	rr, err := w.openRar(pass)
	if err != nil {
		return err
	}
	for {
		h, err := rr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if !h.Encrypted {
			continue
		}
		if err := w.see(w.memberRar(rr, h, pass)); err != nil {
			return seen{err}
		}
	}
}

func (w *walker) memberRar(rr *rardecode.Reader, h *rardecode.FileHeader, pass *string) *Member {
	m := &Member{Name: h.Name, Link: h.LinkTarget, Dir: h.IsDir, Size: h.UnPackedSize}
	if h.UnKnownSize {
		m.Size = -1
	}
	locked := h.Encrypted || h.HeaderEncrypted
	m.Locked = locked && pass == nil
	m.Opened = locked && pass != nil
	if h.LinkType == rardecode.LinkTypeFileCopy {
		m.Link = ""
	}
	m.open = func() (io.ReadCloser, error) { return io.NopCloser(rarReader{rr}), nil }
	return m
}

type rarReader struct{ r *rardecode.Reader }

func (r rarReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		err = rarError(err)
	}
	return n, err
}

// seen marks an error of the visitor, which goes out as it is.
type seen struct{ error }

func rarError(err error) error {
	var s seen
	switch {
	case err == nil:
		return nil
	case errors.As(err, &s):
		return s.error
	case errors.Is(err, rardecode.ErrDictionaryTooLarge):
		return fmt.Errorf("%w: %w", ErrLimit, err)
	case errors.Is(err, rardecode.ErrMultiVolume):
		return fmt.Errorf("%w: the rest is in another volume: %w", ErrUnopened, err)
	case errors.Is(err, rardecode.ErrArchivedFileEncrypted), errors.Is(err, rardecode.ErrArchiveEncrypted), errors.Is(err, rardecode.ErrBadPassword):
		return fmt.Errorf("%w: %w", ErrLocked, err)
	case errors.Is(err, rardecode.ErrUnsupportedDecoder), errors.Is(err, rardecode.ErrUnknownDecoder):
		return fmt.Errorf("%w: %w", ErrUnopened, err)
	}
	return broken(err)
}
