package qr

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/multi/qrcode"
	single "github.com/makiuchi-d/gozxing/qrcode"
)

const (
	workPixels = 800_000   // at which a picture is looked at first
	morePixels = 3_000_000 // and again, when there seemed to be something
	maxCentres = 250       // corners of codes; the detector compares all triples of them
	maxText    = 4096
)

// errCrowded ends the search in a picture with too many corners of codes.
var errCrowded = errors.New("too much in it that looks like a code")

// search looks for codes in several ways until one finds some.
func search(ctx context.Context, p plane, lim Limits) (codes []string, err error) {
	if p.w < smallest || p.h < smallest || p.flat() {
		return nil, nil
	}
	s := &searcher{ctx: ctx, lim: lim}
	small := p.shrink(factor(p, workPixels))
	if small.w*small.h < 40_000 { // a module of one pixel is too small for the detector
		small = small.grow(3)
	}
	s.try(small.frame(16, 255))
	if s.pending() {
		s.try(small.invert().frame(16, 255))
	}
	if full := factor(p, morePixels); s.pending() && s.centres > 0 && full < factor(p, workPixels) {
		s.try(p.shrink(full))
	}
	if s.pending() && s.centres > 0 {
		s.pure(small)
	}
	if s.pending() && s.centres > 1 { // the detector is not the same in all orientations
		for range 3 {
			small = small.turn()
			s.try(small.frame(16, 255))
		}
	}
	if len(s.codes) == 0 && s.err == nil && ctx.Err() != nil {
		s.err = ctx.Err()
	}
	if s.err != nil {
		s.err = fmt.Errorf("%w: %w", ErrLimit, s.err)
	}
	return s.codes, s.err
}

// factor returns by how much to shrink so that at most so many pixels are left.
func factor(p plane, pixels int) int {
	n := 1
	for p.w/n*(p.h/n) > pixels {
		n++
	}
	return n
}

// turn returns the picture turned by a quarter.
func (p plane) turn() plane {
	q := plane{make([]byte, len(p.pix)), p.h, p.w}
	for y := range p.h {
		for x := range p.w {
			q.pix[x*q.w+q.w-1-y] = p.pix[y*p.w+x]
		}
	}
	return q
}

type searcher struct {
	ctx     context.Context
	lim     Limits
	codes   []string
	centres int // corners of codes that were seen
	seen    int // the same, in the attempt at hand
	err     error
}

// pending says whether to go on.
func (s *searcher) pending() bool { return len(s.codes) == 0 && s.err == nil && s.ctx.Err() == nil }

// try looks for codes with both ways to tell black from white.
func (s *searcher) try(p plane) {
	if !s.pending() {
		return
	}
	src := gozxing.LuminanceSource(&source{p, gozxing.LuminanceSourceBase{Width: p.w, Height: p.h}})
	for _, bin := range []gozxing.Binarizer{gozxing.NewHybridBinarizer(src), gozxing.NewGlobalHistgramBinarizer(src)} {
		s.guard(func(hints map[gozxing.DecodeHintType]any) {
			bmp, err := gozxing.NewBinaryBitmap(bin)
			if err != nil {
				return
			}
			found, _ := qrcode.NewQRCodeMultiReader().DecodeMultiple(bmp, hints)
			for _, r := range found {
				s.keep(r)
			}
			if len(s.codes) == 0 && s.seen >= 3 { // it compares corners in another way
				s.seen = 0
				if r, err := single.NewQRCodeReader().Decode(bmp, hints); err == nil {
					s.keep(r)
				}
			}
		})
		if !s.pending() {
			return
		}
	}
}

// pure takes the whole picture for one code.
func (s *searcher) pure(p plane) {
	src := &source{p, gozxing.LuminanceSourceBase{Width: p.w, Height: p.h}}
	s.guard(func(hints map[gozxing.DecodeHintType]any) {
		bmp, err := gozxing.NewBinaryBitmap(gozxing.NewGlobalHistgramBinarizer(src))
		if err != nil {
			return
		}
		hints[gozxing.DecodeHintType_PURE_BARCODE] = true
		if r, err := single.NewQRCodeReader().Decode(bmp, hints); err == nil {
			s.keep(r)
		}
	})
}

// stop is what the guard panics with, to leave the detector.
type stop struct{ err error }

// guard runs a search so that it ends with the time, stays within the number of corners and may panic.
func (s *searcher) guard(look func(hints map[gozxing.DecodeHintType]any)) {
	defer func() {
		switch v := recover().(type) {
		case nil:
		case stop:
			s.err = v.err
		default: // gozxing indexes out of range on some pictures: then there is no code that it can read
		}
	}()
	s.seen = 0
	look(map[gozxing.DecodeHintType]any{
		gozxing.DecodeHintType_TRY_HARDER: true,
		gozxing.DecodeHintType_NEED_RESULT_POINT_CALLBACK: gozxing.ResultPointCallback(func(gozxing.ResultPoint) {
			if err := s.ctx.Err(); err != nil {
				panic(stop{err})
			}
			s.centres++
			if s.seen++; s.seen > maxCentres {
				panic(stop{errCrowded})
			}
		}),
	})
}

func (s *searcher) keep(r *gozxing.Result) {
	text := r.GetText()
	if text == "" || len(text) > maxText || len(s.codes) >= s.lim.Codes || slices.Contains(s.codes, text) {
		return
	}
	s.codes = append(s.codes, text)
}

// source is a plane as gozxing reads it.
type source struct {
	p plane
	gozxing.LuminanceSourceBase
}

func (s *source) GetRow(y int, row []byte) ([]byte, error) {
	if y < 0 || y >= s.p.h {
		return nil, fmt.Errorf("qr: row %d of %d", y, s.p.h)
	}
	return append(row[:0], s.p.pix[y*s.p.w:(y+1)*s.p.w]...), nil
}

func (s *source) GetMatrix() []byte { return s.p.pix }

func (s *source) Invert() gozxing.LuminanceSource { return gozxing.LuminanceSourceInvert(s) }

func (s *source) String() string { return "picture" }
