package pdf

import (
	"fmt"

	"github.com/postreeve/postreeve/verdict/internal/inspect"
)

// embed takes the files of a file specification.
func (d *document) embed(n node) error {
	ef, ok := d.resolve(n.dict.get("EF")).(dict)
	if !ok {
		return nil
	}
	title := d.filespec(n.dict)
	if title == "" {
		title = d.filespec(n.dict.get("Desc"))
	}
	for _, p := range ef {
		v, data, num := d.follow(p.val)
		t, ok := v.(dict)
		if !ok || !data.there || d.used[num] {
			continue
		}
		d.used[num] = true
		if err := d.file(title, t, data); err != nil {
			return err
		}
	}
	return nil
}

// strays takes the embedded files that nothing names.
func (d *document) strays() error {
	for _, n := range d.found {
		if n.dict.get("Type") != name("EmbeddedFile") || !n.data.there || d.used[n.num] {
			continue
		}
		d.used[n.num] = true
		if err := d.file("", n.dict, n.data); err != nil {
			return err
		}
	}
	return d.src.err
}

func (d *document) file(title string, t dict, data extent) error {
	if len(d.rep.Files) >= d.b.Limits.Files {
		return fmt.Errorf("%w: more than %d embedded files", ErrLimit, d.b.Limits.Files)
	}
	size := int64(-1)
	if parms, ok := d.resolve(t.get("Params")).(dict); ok {
		if n, ok := d.resolve(parms.get("Size")).(int64); ok && n >= 0 {
			size = n
		}
	}
	where := fmt.Sprintf("object %d", data.num)
	open := d.later(d.plan(t, data))
	if d.rep.Locked {
		open = nil
	}
	d.rep.Files = append(d.rep.Files, inspect.NewFile(cut(title), where, size, open))
	return nil
}

// image takes an image that can be read without a decoder of its own.
func (d *document) image(n node) error {
	t := n.dict
	if t.get("Subtype") != name("Image") || !n.data.there || d.rep.Locked || len(d.rep.Images) >= maxImages {
		return nil
	}
	num := func(key name) int {
		v, _ := d.resolve(t.get(key)).(int64)
		return int(min(max(v, 0), 1<<20))
	}
	i := Image{Width: num("Width"), Height: num("Height"), Bits: num("BitsPerComponent")}
	i.Mask, _ = d.resolve(t.get("ImageMask")).(bool)
	if i.Mask {
		i.Bits, i.Components = 1, 1
	}
	i.Inverted = d.inverted(t)
	p := d.plan(t, n.data)
	const jpeg, jpeg2000 = name("DCTDecode"), name("JPXDecode")
	for k, s := range p.steps {
		switch s.name {
		case "DCT", jpeg:
			p.steps[k].name, i.Filter = jpeg, string(jpeg)
		case jpeg2000:
			i.Filter = string(jpeg2000)
		case "CCITTFaxDecode", "CCF", "JBIG2Decode":
			return d.src.err
		}
	}
	if i.Components == 0 {
		if err := d.colors(&i, t.get("ColorSpace"), 0); err != nil {
			return err
		}
	}
	if i.Width == 0 || i.Height == 0 || i.Filter == "" && (i.Components == 0 || i.Bits == 0 || i.Bits > 16) {
		return d.src.err
	}
	if len(p.steps) > maxFilters {
		return nil
	}
	i.open = d.later(p, jpeg, jpeg2000)
	d.rep.Images = append(d.rep.Images, i)
	return d.src.err
}

// inverted says whether a Decode array turns the samples around.
func (d *document) inverted(t dict) bool {
	a, _ := d.resolve(t.get("Decode")).(array)
	if len(a) < 2 {
		return false
	}
	first, _ := d.resolve(a[0]).(int64)
	second, _ := d.resolve(a[1]).(int64)
	return first > second
}

// colors finds out how many components a sample has, and the palette (section 8.6).
func (d *document) colors(i *Image, v any, depth int) error {
	if depth > 4 {
		return nil
	}
	v = d.resolve(v)
	list, _ := v.(array)
	kind, _ := v.(name)
	if len(list) > 0 {
		kind, _ = d.resolve(list[0]).(name)
	}
	switch kind {
	case "DeviceGray", "G", "CalGray":
		i.Components = 1
	case "DeviceRGB", "RGB", "CalRGB", "Lab":
		i.Components = 3
	case "DeviceCMYK", "CMYK":
		i.Components = 4
	case "ICCBased":
		if len(list) > 1 {
			t, _ := d.resolve(list[1]).(dict)
			n, _ := d.resolve(t.get("N")).(int64)
			if n == 1 || n == 3 || n == 4 {
				i.Components = int(n)
			}
		}
	case "Separation":
		i.Components, i.Inverted = 1, !i.Inverted // 0 is no ink
	case "Indexed", "I":
		return d.palette(i, list, depth)
	}
	return nil
}

// palette reads the colours of an indexed image as RGB.
func (d *document) palette(i *Image, list array, depth int) error {
	if len(list) < 4 {
		return nil
	}
	var base Image
	if err := d.colors(&base, list[1], depth+1); err != nil || base.Components == 0 {
		return err
	}
	var table []byte
	switch v, data, num := d.follow(list[3]); t := v.(type) {
	case text:
		table = []byte(t)
	case dict:
		if !data.there {
			return nil
		}
		b, err := d.readStream(t, data, 4*256)
		if err := d.note(num, err); err != nil {
			return err
		}
		table = b
	}
	n := base.Components
	for k := 0; k+n <= len(table) && k < 256*n; k += n {
		c := table[k : k+n]
		switch n {
		case 1:
			i.Palette = append(i.Palette, c[0], c[0], c[0])
		case 3:
			i.Palette = append(i.Palette, c...)
		case 4:
			for _, v := range c[:3] {
				i.Palette = append(i.Palette, byte((255-int(v))*(255-int(c[3]))/255))
			}
		}
	}
	if len(i.Palette) > 0 {
		i.Components = 1
	}
	return nil
}
