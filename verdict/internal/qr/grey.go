package qr

import (
	"image"
	"image/color"
)

// plane is a picture in shades of grey, 0 black.
type plane struct {
	pix  []byte
	w, h int
}

// grey makes a plane of a picture, what is transparent on white.
func grey(img image.Image) plane {
	b := img.Bounds()
	p := plane{make([]byte, b.Dx()*b.Dy()), b.Dx(), b.Dy()}
	switch src := img.(type) {
	case *image.Gray:
		p.rows(b, func(row []byte, y int) { copy(row, src.Pix[src.PixOffset(b.Min.X, y):]) })
	case *image.YCbCr:
		p.rows(b, func(row []byte, y int) { copy(row, src.Y[src.YOffset(b.Min.X, y):]) })
	case *image.Paletted:
		var shade [256]byte
		for i, c := range src.Palette {
			shade[i] = luminance(c)
		}
		p.rows(b, func(row []byte, y int) {
			for x, c := range src.Pix[src.PixOffset(b.Min.X, y):][:len(row)] {
				row[x] = shade[c]
			}
		})
	case *image.NRGBA:
		p.rows(b, func(row []byte, y int) {
			s := src.Pix[src.PixOffset(b.Min.X, y):]
			for x := range row {
				q := s[4*x : 4*x+4 : 4*x+4]
				row[x] = over((uint32(q[0])+2*uint32(q[1])+uint32(q[2]))/4, uint32(q[3]))
			}
		})
	case *image.RGBA: // alpha is multiplied in already
		p.rows(b, func(row []byte, y int) {
			s := src.Pix[src.PixOffset(b.Min.X, y):]
			for x := range row {
				q := s[4*x : 4*x+4 : 4*x+4]
				row[x] = byte(min((uint32(q[0])+2*uint32(q[1])+uint32(q[2]))/4+255-uint32(q[3]), 255))
			}
		})
	default:
		p.rows(b, func(row []byte, y int) {
			for x := range row {
				row[x] = luminance(img.At(b.Min.X+x, y))
			}
		})
	}
	return p
}

func (p plane) rows(b image.Rectangle, fill func(row []byte, y int)) {
	if p.w == 0 {
		return
	}
	for y := range p.h {
		fill(p.pix[y*p.w:(y+1)*p.w], b.Min.Y+y)
	}
}

func luminance(c color.Color) byte {
	r, g, b, a := c.RGBA()
	return byte(min((r+2*g+b)/4+0xFFFF-a, 0xFFFF) >> 8)
}

func over(shade, alpha uint32) byte { return byte((shade*alpha + 255*(255-alpha)) / 255) }

// shrink returns the picture at 1/n of its width and height.
func (p plane) shrink(n int) plane {
	if n <= 1 {
		return p
	}
	q := plane{w: p.w / n, h: p.h / n}
	q.pix = make([]byte, q.w*q.h)
	sums := make([]uint32, q.w)
	for y := range q.h {
		clear(sums)
		for dy := range n {
			row := p.pix[(y*n+dy)*p.w:]
			for x := range sums {
				var s uint32
				for _, v := range row[x*n : x*n+n] {
					s += uint32(v)
				}
				sums[x] += s
			}
		}
		for x, s := range sums {
			q.pix[y*q.w+x] = byte(s / uint32(n*n))
		}
	}
	return q
}

// frame returns the picture with a white border, which a code needs and many senders cut off.
func (p plane) frame(border int, shade byte) plane {
	q := plane{w: p.w + 2*border, h: p.h + 2*border}
	q.pix = make([]byte, q.w*q.h)
	for i := range q.pix {
		q.pix[i] = shade
	}
	for y := range p.h {
		copy(q.pix[(y+border)*q.w+border:], p.pix[y*p.w:(y+1)*p.w])
	}
	return q
}

// grow returns the picture at n times its width and height.
func (p plane) grow(n int) plane {
	q := plane{w: p.w * n, h: p.h * n}
	q.pix = make([]byte, q.w*q.h)
	for y := range q.h {
		src := p.pix[y/n*p.w:]
		for x := range q.w {
			q.pix[y*q.w+x] = src[x/n]
		}
	}
	return q
}

// invert returns the picture with black and white exchanged.
func (p plane) invert() plane {
	q := plane{make([]byte, len(p.pix)), p.w, p.h}
	for i, v := range p.pix {
		q.pix[i] = 255 - v
	}
	return q
}

// flat says whether the picture has no contrast at all: nothing can be in it.
func (p plane) flat() bool {
	lo, hi := byte(255), byte(0)
	for _, v := range p.pix {
		lo, hi = min(lo, v), max(hi, v)
	}
	return len(p.pix) == 0 || hi-lo < 24
}
