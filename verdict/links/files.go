package links

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"strings"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/internal/htmldoc"
	"github.com/postreeve/postreeve/verdict/internal/ics"
	"github.com/postreeve/postreeve/verdict/internal/pdf"
	"github.com/postreeve/postreeve/verdict/internal/qr"
)

// pictureBudget is what may be spent on the pictures of a message.
type pictureBudget struct {
	left int
	time time.Duration
}

func newPictureBudget(lim Limits) pictureBudget {
	return pictureBudget{lim.Pictures, lim.PictureTime}
}

// spend runs look if there is something left, and says whether it did.
func (b *pictureBudget) spend(look func(most time.Duration)) bool {
	if b.left <= 0 || b.time <= 0 {
		return false
	}
	b.left--
	start := time.Now()
	look(min(b.time, 500*time.Millisecond))
	b.time -= time.Since(start)
	return true
}

// picture looks for QR codes in a part that is a picture.
func (c *collector) picture(p *verdict.Part, at place) error {
	switch p.Type() {
	case "image/png", "image/jpeg", "image/gif":
	case "":
		_, err := p.Open()
		return err
	default:
		return nil
	}
	var failed error
	done := c.budget.spend(func(most time.Duration) {
		r, err := p.Open()
		if err != nil {
			failed = err
			return
		}
		defer r.Close()
		codes, err := qr.Read(c.ctx, r, qr.Limits{Time: most})
		c.codesFound(codes, at)
		failed = c.pictureError(err, at)
	})
	if !done {
		c.note(codePictures, "more pictures than are looked at for QR codes", at.part)
	}
	return failed
}

// pictureError tells a picture that cannot be read, which is no error, from a source that cannot.
func (c *collector) pictureError(err error, at place) error {
	switch {
	case err == nil, errors.Is(err, qr.ErrFormat):
		return nil
	case c.ctx.Err() != nil:
		return c.ctx.Err()
	case errors.Is(err, qr.ErrLimit):
		c.note(codePictures, err.Error(), at.part)
		return nil
	}
	return fmt.Errorf("links: %w", err)
}

func (c *collector) codesFound(codes []string, at place) {
	for _, text := range codes {
		c.codes++
		text = strings.TrimSpace(text)
		if strings.ContainsAny(text, " \n") {
			c.scanText(text, inQR, at)
			continue
		}
		c.add(text, "", &link{from: inQR}, at)
	}
}

// maxFile is the size of a file that is taken apart for its links.
const maxFile = 32 << 20

// pdf takes the links of a PDF file, and looks for QR codes in its pictures.
func (c *collector) pdf(p *verdict.Part, at place) error {
	at.file = true
	size, err := p.Size()
	if err != nil {
		return fmt.Errorf("links: %w", err)
	}
	if size > maxFile {
		c.note(codePictures, "a PDF file that is too large to look for links", at.part)
		return nil
	}
	r, err := p.Open()
	if err != nil {
		return fmt.Errorf("links: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(r, maxFile))
	if err = errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("links: %w", err)
	}
	ctx, cancel := context.WithTimeout(c.ctx, c.lim.PictureTime)
	defer cancel()
	rep, err := pdf.Inspect(ctx, bytes.NewReader(data), int64(len(data)), pdf.Limits{Bytes: 32 << 20, Objects: 100_000})
	if c.ctx.Err() != nil {
		return c.ctx.Err()
	}
	if errors.Is(err, pdf.ErrLimit) {
		c.note(codePictures, "a PDF file that was not read to its end: "+err.Error(), at.part)
	}
	for _, l := range rep.Links {
		if l.Kind == "uri" || l.Kind == "submit" {
			c.add(l.Target, "", &link{from: inPDF}, at)
		}
	}
	for _, img := range rep.Images {
		if img.Width < 40 || img.Height < 40 {
			continue
		}
		if !c.budget.spend(func(most time.Duration) { c.pdfPicture(img, most, at) }) {
			break
		}
	}
	return c.ctx.Err()
}

// pdfPicture looks for QR codes in a picture of a PDF file. What is broken in it is not of interest here.
func (c *collector) pdfPicture(img pdf.Image, most time.Duration, at place) {
	r, err := img.Open()
	if err != nil {
		return
	}
	defer r.Close()
	var codes []string
	switch {
	case img.Filter == "DCTDecode":
		codes, _ = qr.Read(c.ctx, r, qr.Limits{Time: most})
	case img.Filter == "" && img.Width <= 8192 && img.Height <= 8192 && img.Width*img.Height <= 16<<20:
		if g := samples(img, r); g != nil {
			codes, _ = qr.Image(c.ctx, g, qr.Limits{Time: most})
		}
	}
	c.codesFound(codes, at)
}

// samples makes a grey picture of rows of samples (ISO 32000-2 section 8.9.5); nil if they are of an unknown form.
func samples(img pdf.Image, r io.Reader) *image.Gray {
	n := max(img.Components, 1)
	if img.Mask {
		n, img.Bits = 1, 1
	}
	switch img.Bits {
	case 1, 2, 4, 8, 16:
	default:
		return nil
	}
	g := image.NewGray(image.Rect(0, 0, img.Width, img.Height))
	row := make([]byte, (img.Width*n*img.Bits+7)/8)
	for y := range img.Height {
		if _, err := io.ReadFull(r, row); err != nil {
			break
		}
		for x := range img.Width {
			g.Pix[y*g.Stride+x] = shade(img, row, x, n)
		}
	}
	return g
}

func shade(img pdf.Image, row []byte, x, n int) byte {
	var v [4]uint32
	for k := range min(n, 4) {
		v[k] = sample(row, x*n+k, img.Bits)
	}
	top := uint32(1)<<min(img.Bits, 8) - 1
	var out uint32
	switch {
	case len(img.Palette) >= 3 && n == 1:
		i := int(v[0]) * 3
		if i+3 > len(img.Palette) {
			return 255
		}
		q := img.Palette[i : i+3]
		out = (uint32(q[0]) + 2*uint32(q[1]) + uint32(q[2])) / 4
	case n == 3:
		out = (v[0] + 2*v[1] + v[2]) * 255 / top / 4
	case n == 4:
		ink := min((v[0]+2*v[1]+v[2])/4+v[3], top)
		out = 255 - ink*255/top
	default:
		out = v[0] * 255 / top
	}
	if img.Inverted {
		out = 255 - out
	}
	return color.Gray{Y: byte(out)}.Y
}

// sample returns the i-th sample of a row; of 16 bits the higher half.
func sample(row []byte, i, bits int) uint32 {
	switch bits {
	case 8:
		return uint32(row[i])
	case 16:
		return uint32(row[2*i])
	}
	at := i * bits
	return uint32(row[at/8]>>(8-bits-at%8)) & (1<<bits - 1)
}

// calendar takes the links of an invitation.
func (c *collector) calendar(p *verdict.Part, at place) error {
	text, err := htmldoc.Plain(c.m, p)
	if err != nil && !errors.Is(err, verdict.ErrTooLarge) {
		return fmt.Errorf("links: %w", err)
	}
	rep, _ := ics.Inspect(c.ctx, []byte(text), ics.Limits{}) // what is broken in it is for others to say
	for _, item := range rep.Items {
		for _, target := range item.Links {
			c.add(target, "", &link{from: inCalendar}, at)
		}
		c.scanText(item.Description+"\n"+item.Location+"\n"+item.Summary, inCalendar, at)
		if item.HTML != "" {
			c.document(htmldoc.Parse(item.HTML, htmldoc.Limits{}), at)
		}
	}
	return c.ctx.Err()
}
