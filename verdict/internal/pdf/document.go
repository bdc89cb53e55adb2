package pdf

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/postreeve/postreeve/verdict/internal/inspect"
)

// location is where an object stands.
type location struct {
	num, gen int32
	pos      int64
	stream   *objectStream // nil: in the file itself, at pos
	dull     bool          // nothing in it says anything
}

// objectStream is the content of an object stream (ISO 32000-2 section 7.5.7).
type objectStream struct{ src *source }

// document is a file under inspection.
type document struct {
	b    *inspect.Budget
	rep  *Report
	src  *source
	work int64
	errs []error

	objects []location
	ends    []int64       // places of "endstream", ascending
	latest  map[int32]int // number of an object to the one in objects that counts
	streams []int         // object streams
	found   []node        // dictionaries that say something
	trailer dict          // Encrypt, Root and ID of all trailers
	seal    *seal

	auto map[int32]bool // actions that run by themselves
	used map[int32]bool // streams that a file specification has named
	urls map[string]bool
}

// node is a dictionary that says something, with the object that it stands in.
type node struct {
	dict dict
	num  int32
	data extent // of its stream, if it is that of one
}

// Inspect takes apart the PDF file of size bytes that r gives.
//
// The report is never nil: with an error it has what was found up to there. A file that cannot be opened
// without a password is ErrEncrypted; what is not encrypted in it is in the report. Files and images of
// the report need r until they are no longer wanted.
func Inspect(ctx context.Context, r io.ReaderAt, size int64, lim Limits) (rep *Report, err error) {
	rep = &Report{}
	defer inspect.Recover(&err)
	b := inspect.NewBudget(ctx, lim)
	d := &document{b: b, rep: rep, latest: map[int32]int{}, auto: map[int32]bool{}, used: map[int32]bool{}, urls: map[string]bool{}}
	// Objects that do not overlap are read twice at most: once for what they are, once for what they
	// are referred to.
	d.work = 8*size + 1<<20
	d.src = newSource(b, &d.work, r, size)
	return rep, d.finish(d.inspect())
}

func (d *document) inspect() error {
	if err := d.header(); err != nil {
		return err
	}
	for _, step := range []func() error{d.locate, d.trailers, d.readAll, d.unlock, d.unpack, d.facts} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (d *document) finish(err error) error {
	switch {
	case err != nil:
	case d.rep.Locked:
		return fmt.Errorf("%w: PDF file with a password", ErrEncrypted)
	default:
		err = errors.Join(d.errs...)
	}
	if err != nil && !errors.Is(err, ErrLimit) && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrEncrypted) {
		err = fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return err
}

// note remembers that an object could not be read and goes on, unless a limit was met.
func (d *document) note(num int32, err error) error {
	if err == nil || errors.Is(err, ErrLimit) {
		return err
	}
	if len(d.errs) < 8 {
		d.errs = append(d.errs, fmt.Errorf("%w: object %d: %w", ErrFormat, num, err))
	}
	return nil
}

// header looks for the mark of the format, which readers accept within the first kilobyte.
func (d *document) header() error {
	const within = 1024
	found := false
	head := &source{r: d.src.r, size: min(d.src.size, within+8), b: d.b}
	err := head.find([]string{"%PDF"}, func(pos int64, _ int) error {
		if found || pos > within {
			return nil
		}
		found = true
		var v []byte
		for i := range int64(4) {
			c, ok := d.src.at(pos + 4 + i)
			if i == 0 && c == '-' {
				continue
			}
			if !ok || i == 0 || c != '.' && (c < '0' || c > '9') {
				break
			}
			v = append(v, c)
		}
		d.rep.Version = string(v)
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: no PDF file", ErrFormat)
	}
	return err
}

// locate finds every object, wherever it stands, even in what looks like a stream: a reader that goes
// by the cross-reference table would find it as well.
func (d *document) locate() error {
	return d.src.find([]string{"obj", "endstream"}, func(pos int64, word int) error {
		if word == 1 {
			d.ends = append(d.ends, pos)
			return d.b.Object()
		}
		num, gen, ok := d.before(pos)
		if !ok {
			return nil
		}
		if err := d.b.Object(); err != nil {
			return err
		}
		d.objects = append(d.objects, location{num: num, gen: gen, pos: pos + 3})
		return nil
	})
}

// before reads the two numbers in front of "obj".
func (d *document) before(pos int64) (num, gen int32, ok bool) {
	p := pos
	g, p, ok := d.numberBefore(p)
	if !ok {
		return 0, 0, false
	}
	n, _, ok := d.numberBefore(p)
	return n, g, ok
}

// numberBefore reads the number that ends, with white space after it, before pos.
func (d *document) numberBefore(pos int64) (n int32, start int64, ok bool) {
	const most = 32
	for range most {
		c, there := d.src.at(pos - 1)
		if !there || !isSpace(c) {
			break
		}
		pos--
	}
	v, scale := int64(0), int64(1)
	for range 10 {
		c, there := d.src.at(pos - 1)
		if !there || c < '0' || c > '9' {
			break
		}
		v += int64(c-'0') * scale
		scale *= 10
		pos--
		ok = true
	}
	if v > 1<<30 {
		return 0, 0, false
	}
	return int32(v), pos, ok
}

// trailers reads the dictionaries behind the word "trailer".
func (d *document) trailers() error {
	return d.src.find([]string{"trailer"}, func(pos int64, _ int) error {
		if err := d.b.Object(); err != nil {
			return err
		}
		l := &lexer{src: d.src, pos: pos + int64(len("trailer"))}
		v, ok := l.value(0).(dict)
		if err := d.spent(l, pos); err != nil {
			return err
		}
		if !ok {
			return nil
		}
		if err := d.addTrailer(v); err != nil {
			return err
		}
		// Lenient readers take a catalog that stands in the trailer itself.
		return d.collect(v, -1, extent{}, 0)
	})
}

func (d *document) addTrailer(t dict) error {
	for _, p := range t {
		switch p.key {
		case "Encrypt", "ID", "Root":
			if err := d.b.Keep(64); err != nil {
				return err
			}
			d.trailer = append(d.trailer, p)
		}
	}
	return nil
}

// spent counts what a lexer has read since pos.
func (d *document) spent(l *lexer, pos int64) error {
	if err := d.src.spend(l.pos - pos); err != nil {
		return err
	}
	if errors.Is(l.err, ErrLimit) {
		return fmt.Errorf("%w: values nested too deep, or no time left", l.err)
	}
	return l.err
}

// readAll reads every object of the file, before anything can be decrypted.
func (d *document) readAll() error {
	inside := int64(0) // end of the last stream
	for i := range d.objects {
		o := &d.objects[i]
		v, data, err := d.read(o, nil)
		if err != nil {
			return err
		}
		if o.pos >= inside {
			d.latest[o.num] = i
		}
		if data.n > 0 && data.pos+data.n > inside {
			inside = data.pos + data.n
		}
		o.dull = !tellsAny(v)
		t, ok := v.(dict)
		if !ok {
			continue
		}
		switch t.get("Type") {
		case name("ObjStm"):
			d.streams = append(d.streams, i)
		case name("XRef"):
			if err := d.addTrailer(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// read reads an object and finds its stream.
func (d *document) read(o *location, s *seal) (any, extent, error) {
	if err := d.b.Step(); err != nil {
		return nil, extent{}, err
	}
	l := &lexer{src: d.src, pos: o.pos}
	if o.stream != nil {
		l.src = o.stream.src
	} else if s != nil {
		l.seal, l.key = s, s.key(o.num, o.gen)
	}
	start := l.pos
	v := l.value(0)
	if err := d.spent(l, start); err != nil {
		return nil, extent{}, err
	}
	t, ok := v.(dict)
	if !ok || o.stream != nil {
		return v, extent{}, nil
	}
	if w, _ := l.value(0).(word); w != "stream" {
		return v, extent{}, nil
	}
	return v, d.extent(l.pos, t), nil
}

// extent is where the data of a stream stands.
type extent struct {
	pos, n int64
	num    int32
	gen    int32
	there  bool
}

// extent finds the end of the data that follows the word "stream" at pos. The length of the dictionary is
// believed only if the data ends there.
func (d *document) extent(pos int64, t dict) extent {
	if c, _ := d.src.at(pos); c == '\r' {
		pos++
	}
	if c, _ := d.src.at(pos); c == '\n' {
		pos++
	}
	i, _ := slices.BinarySearch(d.ends, pos)
	end := d.src.size
	if i < len(d.ends) {
		end = d.ends[i]
	}
	if n, ok := t.get("Length").(int64); ok && n >= 0 && pos+n <= d.src.size {
		if j, _ := slices.BinarySearch(d.ends, pos+n); j < len(d.ends) && d.ends[j]-(pos+n) <= 4 {
			return extent{pos: pos, n: n, there: true}
		}
	}
	return extent{pos: pos, n: max(end-pos, 0), there: true}
}

// resolve follows references to a value.
func (d *document) resolve(v any) any {
	v, _, _ = d.follow(v)
	return v
}

// follow follows references to a value and the stream that may come with it.
func (d *document) follow(v any) (any, extent, int32) {
	num := int32(-1)
	for range 8 {
		r, ok := v.(ref)
		if !ok {
			return v, extent{}, num
		}
		i, ok := d.latest[r.num]
		if !ok {
			return nil, extent{}, r.num
		}
		o := &d.objects[i]
		next, data, err := d.read(o, d.seal)
		if err != nil {
			d.src.err = err // the next step ends the inspection
			return nil, extent{}, r.num
		}
		num = r.num
		if data.there {
			data.num, data.gen = o.num, o.gen
			return next, data, num
		}
		v = next
	}
	return nil, extent{}, num
}
