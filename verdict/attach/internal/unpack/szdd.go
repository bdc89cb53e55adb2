package unpack

import "io"

// szdd lists the file that COMPRESS.EXE of MS-DOS has packed: LZSS with a window of 4096 bytes.
func (w *walker) szdd() error {
	return w.one("", 4<<10, func() (io.ReadCloser, error) {
		z := &lzss{r: io.NewSectionReader(w.r, 14, w.size-14), at: 4096 - 16}
		for i := range z.window {
			z.window[i] = ' '
		}
		return io.NopCloser(z), nil
	})
}

type lzss struct {
	r      io.Reader
	in     []byte
	buf    [4096]byte
	window [4096]byte
	at     int
	flags  uint
	copyAt int
	left   int
}

func (z *lzss) byte() (byte, error) {
	for len(z.in) == 0 {
		n, err := z.r.Read(z.buf[:])
		if z.in = z.buf[:n]; n == 0 && err != nil {
			return 0, err
		}
	}
	c := z.in[0]
	z.in = z.in[1:]
	return c, nil
}

func (z *lzss) Read(p []byte) (n int, err error) {
	for n < len(p) {
		var c byte
		if z.left > 0 {
			c = z.window[z.copyAt&4095]
			z.copyAt++
			z.left--
		} else {
			if z.flags <= 1 {
				f, err := z.byte()
				if err != nil {
					return n, err
				}
				z.flags = uint(f) | 0x100
			}
			literal := z.flags&1 != 0
			z.flags >>= 1
			a, err := z.byte()
			if err != nil {
				return n, err
			}
			if !literal {
				b, err := z.byte()
				if err != nil {
					return n, err
				}
				z.copyAt, z.left = int(a)|int(b&0xF0)<<4, int(b&0xF)+3
				continue
			}
			c = a
		}
		z.window[z.at] = c
		z.at = (z.at + 1) & 4095
		p[n] = c
		n++
	}
	return n, nil
}
