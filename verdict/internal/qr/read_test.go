package qr_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"

	"github.com/postreeve/postreeve/verdict/internal/qr"
)

const text = "https://scan.example.net/login?id=1"

// code draws a QR code, with a pixel of the given size for a module and no border but the encoder's.
func code(tb testing.TB, text string, size int) *image.Gray {
	tb.Helper()
	m, err := qrcode.NewQRCodeWriter().Encode(text, gozxing.BarcodeFormat_QR_CODE, size, size, nil)
	if err != nil {
		tb.Fatal(err)
	}
	g := image.NewGray(m.Bounds())
	for y := range g.Rect.Dy() {
		for x := range g.Rect.Dx() {
			if !m.Get(x, y) {
				g.SetGray(x, y, color.Gray{Y: 255})
			}
		}
	}
	return g
}

// drawn makes other pictures of a picture: at points of the new one, what colour there is.
func drawn(w, h int, at func(x, y int) color.Color) *image.NRGBA {
	out := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			out.Set(x, y, at(x, y))
		}
	}
	return out
}

func inPNG(tb testing.TB, img image.Image) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func TestImage(t *testing.T) {
	t.Parallel()
	g := code(t, text, 200)
	other := code(t, "second", 200)
	for _, c := range []struct {
		name string
		img  image.Image
		want []string
	}{
		{"as it is", g, []string{text}},
		{"one pixel a module", code(t, text, 1), []string{text}},
		{"inverted", drawn(200, 200, func(x, y int) color.Color { return color.Gray{255 - g.GrayAt(x, y).Y} }), []string{text}},
		{"turned by a quarter", drawn(200, 200, func(x, y int) color.Color { return g.At(y, 199-x) }), []string{text}},
		{"upside down", drawn(200, 200, func(x, y int) color.Color { return g.At(199-x, 199-y) }), []string{text}},
		{"blue on yellow", drawn(200, 200, func(x, y int) color.Color {
			if g.GrayAt(x, y).Y == 0 {
				return color.NRGBA{0, 0, 160, 255}
			}
			return color.NRGBA{255, 240, 120, 255}
		}), []string{text}},
		{"black on nothing", drawn(200, 200, func(x, y int) color.Color { return color.NRGBA{0, 0, 0, 255 - g.GrayAt(x, y).Y} }), []string{text}},
		{"in a corner of a page", drawn(1500, 2000, func(x, y int) color.Color {
			if x >= 1200 && x < 1400 && y >= 1700 && y < 1900 {
				return g.At(x-1200, y-1700)
			}
			return color.White
		}), []string{text}},
		{"two of them", drawn(440, 220, func(x, y int) color.Color {
			if y >= 10 && y < 210 && x >= 10 && x < 210 {
				return g.At(x-10, y-10)
			}
			if y >= 10 && y < 210 && x >= 230 && x < 430 {
				return other.At(x-230, y-10)
			}
			return color.White
		}), []string{text, "second"}},
		{"none", drawn(200, 200, func(x, y int) color.Color { return color.Gray{byte(x * y)} }), nil},
		{"white", image.NewUniform(color.White), nil},
		{"tiny", image.NewGray(image.Rect(0, 0, 3, 3)), nil},
		{"empty", image.NewGray(image.Rectangle{}), nil},
	} {
		if _, endless := c.img.(*image.Uniform); endless {
			if _, err := qr.Image(t.Context(), c.img, qr.Limits{}); !errors.Is(err, qr.ErrLimit) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		got, err := qr.Image(t.Context(), c.img, qr.Limits{Time: 10 * time.Second})
		slices.Sort(got)
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%s: %s, %v", c.name, diff, err)
		}
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	g := code(t, text, 200)
	var jpg, anim bytes.Buffer
	if err := errors.Join(jpeg.Encode(&jpg, g, nil), gif.Encode(&anim, g, nil)); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"PNG": inPNG(t, g), "JPEG": jpg.Bytes(), "GIF": anim.Bytes(), "PNG with colours": inPNG(t, drawn(200, 200, g.At))} {
		got, err := qr.Read(t.Context(), bytes.NewReader(data), qr.Limits{Time: 10 * time.Second})
		if diff := cmp.Diff([]string{text}, got); diff != "" || err != nil {
			t.Errorf("%s: %s, %v", name, diff, err)
		}
	}
}

// bad are files that are no pictures, or ask for too much. The fuzzer begins with them.
func bad(tb testing.TB) map[string]struct {
	data []byte
	want error
} {
	tb.Helper()
	good := inPNG(tb, code(tb, text, 100))
	// A PNG that says that it is 30 000 by 30 000 pixels in colour, and ends there (PNG, section 11.2.1).
	large, err := base64.StdEncoding.DecodeString("iVBORw0KGgoAAAANSUhEUgAAdTAAAHUwCAIAAACXiagDAAAAAElEQVQ=")
	if err != nil {
		tb.Fatal(err)
	}
	return map[string]struct {
		data []byte
		want error
	}{
		"nothing":  {nil, qr.ErrFormat},
		"text":     {[]byte("hello"), qr.ErrFormat},
		"cut":      {good[:len(good)/2], qr.ErrFormat},
		"too long": {append(good, make([]byte, 9<<20)...), qr.ErrLimit},
		"too wide": {large, nil}, // either: the checksum may be looked at first
	}
}

func TestBad(t *testing.T) {
	t.Parallel()
	for name, c := range bad(t) {
		got, err := qr.Read(t.Context(), bytes.NewReader(c.data), qr.Limits{})
		if len(got) > 0 || err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	failing := io.MultiReader(bytes.NewReader([]byte("GIF89a")), errReader{})
	if _, err := qr.Read(t.Context(), failing, qr.Limits{}); !errors.Is(err, errBroken) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := qr.Read(ctx, bytes.NewReader(inPNG(t, code(t, text, 100))), qr.Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	memory := qr.Limits{Memory: 1000}
	if _, err := qr.Read(t.Context(), bytes.NewReader(inPNG(t, code(t, text, 100))), memory); !errors.Is(err, qr.ErrLimit) {
		t.Errorf("%v", err)
	}
}

var errBroken = errors.New("broken")

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errBroken }

// TestCrowded shows a picture full of corners of codes, of which all triples would have to be compared.
func TestCrowded(t *testing.T) {
	t.Parallel()
	img := drawn(1600, 1600, func(x, y int) color.Color {
		dx, dy := max(x%20-10, 10-x%20), max(y%20-10, 10-y%20)
		switch d := max(dx, dy); {
		case d <= 3, d > 5 && d <= 7:
			return color.Black
		}
		return color.White
	})
	start := time.Now()
	_, err := qr.Image(t.Context(), img, qr.Limits{Time: time.Minute})
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("took %v", took)
	}
	t.Log(err)
}

// TestCorpus reads the pictures of the shared test data beside the module.
func TestCorpus(t *testing.T) {
	t.Parallel()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
	corpus := filepath.Join(dir, "..", "shared", "corpus", "att-qr")
	if _, err := os.Stat(corpus); err != nil {
		t.Skip("the test data is not beside the module")
	}
	total, found := 0, 0
	err = filepath.WalkDir(corpus, func(path string, d os.DirEntry, err error) error {
		if ext := filepath.Ext(path); err != nil || ext != ".png" && ext != ".jpg" {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		total++
		codes, err := qr.Read(t.Context(), f, qr.Limits{Time: 10 * time.Second})
		if len(codes) > 0 {
			found++
		} else {
			t.Logf("%s: %v", path, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d pictures read", found, total)
	if found < total {
		t.Errorf("%d of %d pictures read", found, total)
	}
}

func FuzzRead(f *testing.F) {
	g := code(f, text, 60)
	f.Add(inPNG(f, g))
	var b bytes.Buffer
	if err := gif.Encode(&b, g, nil); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	for _, c := range bad(f) {
		if len(c.data) < 1<<20 {
			f.Add(c.data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		start := time.Now()
		codes, err := qr.Read(t.Context(), bytes.NewReader(data), qr.Limits{Memory: 4 << 20, Time: time.Second})
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("took %v", took)
		}
		if len(codes) > 8 || err != nil && !errors.Is(err, qr.ErrFormat) && !errors.Is(err, qr.ErrLimit) {
			t.Errorf("%q, %v", codes, err)
		}
	})
}

func BenchmarkNoCode(b *testing.B) {
	img := drawn(800, 600, func(x, y int) color.Color { return color.Gray{byte(x*y/37 + x)} })
	for b.Loop() {
		if _, err := qr.Image(b.Context(), img, qr.Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
