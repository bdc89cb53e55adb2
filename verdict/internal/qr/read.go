package qr

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	_ "image/gif" // the formats that mail programs show and the standard library reads
	_ "image/jpeg"
	_ "image/png"
	"io"
	"time"
)

// Limits bound the work on one picture. A zero field means its default.
type Limits struct {
	Bytes  int64         // of the file; default 8 MiB
	Memory int64         // that decoding may take, estimated from the size in pixels; default 48 MiB
	Time   time.Duration // default 500 ms
	Codes  int           // returned; default 8
}

func (l Limits) withDefaults() Limits {
	if l.Bytes <= 0 {
		l.Bytes = 8 << 20
	}
	if l.Memory <= 0 {
		l.Memory = 48 << 20
	}
	if l.Time <= 0 {
		l.Time = 500 * time.Millisecond
	}
	if l.Codes <= 0 {
		l.Codes = 8
	}
	return l
}

var (
	// ErrLimit is returned, wrapped, for a picture that takes more work than Limits allow.
	ErrLimit = errors.New("qr: picture passes a limit")
	// ErrFormat is returned, wrapped, for what is no picture of a known format, or a broken one.
	ErrFormat = errors.New("qr: not a picture that can be read")
)

// Read returns the texts of the QR codes in the picture in r, without doubles. There being none is no error.
// Besides ErrLimit and ErrFormat it returns the errors of ctx and of r, with what was found up to there.
func Read(ctx context.Context, r io.Reader, lim Limits) (codes []string, err error) {
	lim = lim.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, lim.Time)
	defer cancel()
	data, err := io.ReadAll(io.LimitReader(r, lim.Bytes+1))
	if err != nil {
		return nil, fmt.Errorf("qr: reading a picture: %w", err)
	}
	if int64(len(data)) > lim.Bytes {
		return nil, fmt.Errorf("%w: it has more than %d bytes", ErrLimit, lim.Bytes)
	}
	img, err := decode(ctx, data, lim)
	if err != nil {
		return nil, err
	}
	return search(ctx, grey(img), lim)
}

// Image is Read for a picture that is decoded already.
func Image(ctx context.Context, img image.Image, lim Limits) ([]string, error) {
	lim = lim.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, lim.Time)
	defer cancel()
	if !img.Bounds().In(image.Rect(-1<<15, -1<<15, 1<<15, 1<<15)) {
		return nil, fmt.Errorf("%w: %v", ErrLimit, img.Bounds())
	}
	return search(ctx, grey(img), lim)
}

// smallest is the width of the smallest code with one pixel for a module and no border; below there is none.
const smallest = 21

// decode returns a picture after a look at its size.
func decode(ctx context.Context, data []byte, lim Limits) (img image.Image, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: the decoder panicked: %v", ErrFormat, v)
		}
	}()
	cfg, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if cfg.Width < smallest || cfg.Height < smallest {
		return image.NewGray(image.Rectangle{}), nil
	}
	need := int64(cfg.Width) * int64(cfg.Height) * int64(pixelBytes(cfg.ColorModel, data))
	if cfg.Width > 1<<15 || cfg.Height > 1<<15 || need > lim.Memory {
		return nil, fmt.Errorf("%w: %d by %d pixels", ErrLimit, cfg.Width, cfg.Height)
	}
	img, _, err = image.Decode(&timed{ctx, bytes.NewReader(data)})
	switch {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%w: decoding it: %w", ErrLimit, ctx.Err())
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return img, nil
}

// pixelBytes is how much memory decoding takes for a pixel at most.
func pixelBytes(m color.Model, data []byte) int {
	switch m {
	case color.YCbCrModel, color.CMYKModel:
		if progressive(data) {
			return 16 // coefficients are kept, four bytes for each of up to four components
		}
		return 4
	case color.GrayModel, color.AlphaModel:
		if progressive(data) {
			return 5
		}
		return 1
	case color.Gray16Model:
		return 2
	case color.RGBA64Model, color.NRGBA64Model:
		return 8
	}
	if _, ok := m.(color.Palette); ok {
		return 1
	}
	return 4
}

// progressive says whether data is a JPEG that is sent in several passes (ITU-T T.81, SOF2).
func progressive(data []byte) bool {
	if !bytes.HasPrefix(data, []byte{0xFF, 0xD8}) {
		return false
	}
	for i := 2; i+4 <= len(data) && data[i] == 0xFF; {
		switch marker := data[i+1]; {
		case marker == 0xC2:
			return true
		case marker == 0xDA, marker == 0xC0, marker == 0xC1: // data begins, or a baseline frame
			return false
		case marker == 0xFF:
			i++
			continue
		}
		i += 2 + int(data[i+2])<<8 + int(data[i+3])
	}
	return true // something odd: think of the worse
}

// timed is a reader that fails once the time is over, which is how to stop a decoder.
type timed struct {
	ctx context.Context
	r   *bytes.Reader
}

func (t *timed) Read(p []byte) (int, error) {
	if err := t.ctx.Err(); err != nil {
		return 0, err
	}
	return t.r.Read(p[:min(len(p), 4096)])
}
