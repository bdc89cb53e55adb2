package pdf

import (
	"bufio"
	"context"
	"encoding/ascii85"
	"fmt"
	"io"
	"slices"

	"github.com/postreeve/postreeve/verdict/internal/inspect"
)

// plan is all that it takes to decode a stream. It does not change, so it may be used at any time.
type plan struct {
	r      io.ReaderAt
	pos, n int64
	seal   *seal // nil if the stream is not encrypted
	key    []byte
	steps  []filter
}

// filter is one step in the decoding of a stream.
type filter struct {
	name  name
	pred  predictor
	early int // of LZW
}

// maxFilters is more than anybody needs.
const maxFilters = 8

// plan finds out how a stream is decoded.
func (d *document) plan(t dict, e extent) *plan {
	p := &plan{r: d.src.r, pos: e.pos, n: e.n}
	// What is between the length and the end of the data is at most an end of line.
	if n, ok := d.resolve(t.get("Length")).(int64); ok && n > 0 && n < e.n && e.n-n <= 2 {
		p.n = n
	}
	if d.seal != nil && t.get("Type") != name("XRef") {
		p.seal, p.key = d.seal, d.seal.key(e.num, e.gen)
	}
	v := d.resolve(either(t, "Filter", "F"))
	parms := d.resolve(either(t, "DecodeParms", "DP"))
	if _, ok := v.(name); ok {
		v, parms = array{v}, array{parms}
	}
	list, _ := v.(array)
	all, _ := parms.(array)
	for i, f := range list {
		n, ok := d.resolve(f).(name)
		if !ok {
			continue
		}
		var t dict
		if i < len(all) {
			t, _ = d.resolve(all[i]).(dict)
		}
		if n == "Crypt" {
			if c := t.get("Name"); c == nil || c == name("Identity") {
				p.seal = nil
			}
			continue
		}
		step := filter{name: n, pred: d.predictor(t), early: 1}
		if v, ok := d.resolve(t.get("EarlyChange")).(int64); ok && v == 0 {
			step.early = 0
		}
		p.steps = append(p.steps, step)
	}
	return p
}

func either(t dict, long, short name) any {
	if v := t.get(long); v != nil {
		return v
	}
	return t.get(short)
}

// open returns the data through all filters, but those that are in stop: then its name as well. What goes
// from one filter to the next is spent of b; what comes out at the end is for the caller to count.
func (p *plan) open(b *inspect.Budget, stop ...name) (io.Reader, name, error) {
	if len(p.steps) > maxFilters {
		return nil, "", fmt.Errorf("%w: stream with %d filters", ErrLimit, len(p.steps))
	}
	r := io.Reader(io.NewSectionReader(p.r, p.pos, p.n))
	if p.seal != nil {
		r = p.seal.openStream(p.key, r)
	}
	for i, f := range p.steps {
		if i > 0 {
			r = b.Reader(r)
		}
		switch f.name {
		case "FlateDecode", "Fl":
			r = predicted(newInflate(r), f.pred)
		case "LZWDecode", "LZW":
			r = predicted(newLZW(r, f.early), f.pred)
		case "ASCIIHexDecode", "AHx":
			r = &hexReader{r: bufio.NewReader(r)}
		case "ASCII85Decode", "A85":
			r = &lenient{r: ascii85.NewDecoder(&ascii85Source{r: bufio.NewReader(r)})}
		case "RunLengthDecode", "RL":
			r = &runReader{r: bufio.NewReader(r)}
		default:
			if slices.Contains(stop, f.name) {
				return r, f.name, nil
			}
			return nil, "", fmt.Errorf("%w: stream with filter %q", ErrFormat, f.name)
		}
	}
	return r, "", nil
}

// readStream decodes a stream into memory, up to limit bytes if that is not 0. With an error it returns
// what came before it.
func (d *document) readStream(t dict, e extent, limit int64) ([]byte, error) {
	r, _, err := d.plan(t, e).open(d.b)
	if err != nil {
		return nil, err
	}
	if limit > 0 {
		r = io.LimitReader(r, limit)
	}
	return d.b.ReadAll(r, 0)
}

// later returns a function that opens the stream when the inspection is over, with a budget of its own.
func (d *document) later(p *plan, stop ...name) func() (io.ReadCloser, error) {
	limits := d.b.Limits
	return func() (io.ReadCloser, error) {
		b := inspect.NewBudget(context.Background(), limits)
		r, _, err := p.open(b, stop...)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(inspect.Limited(r, limits.Bytes)), nil
	}
}

// unpack reads the objects in object streams.
func (d *document) unpack() error {
	for _, i := range d.streams {
		o := d.objects[i]
		v, data, err := d.read(&o, d.seal)
		if err != nil {
			return err
		}
		t, _ := v.(dict)
		if !data.there || d.rep.Locked {
			continue
		}
		data.num, data.gen = o.num, o.gen
		content, err := d.readStream(t, data, 0)
		if err := d.note(o.num, err); err != nil {
			return err
		}
		if err := d.unpackStream(t, content); err != nil {
			return err
		}
	}
	return nil
}

func (d *document) unpackStream(t dict, content []byte) error {
	n, _ := d.resolve(t.get("N")).(int64)
	first, _ := d.resolve(t.get("First")).(int64)
	if first < 0 || first > int64(len(content)) {
		return nil
	}
	s := &objectStream{src: d.src.memory(content)}
	d.work += 4 * int64(len(content))
	l := &lexer{src: d.src.memory(content[:first])}
	for range min(n, int64(len(content))) {
		num, okNum := l.value(0).(int64)
		off, okOff := l.value(0).(int64)
		if !okNum || !okOff || num < 0 || num > 1<<30 || off < 0 || off >= int64(len(content)) {
			break
		}
		if err := d.b.Object(); err != nil {
			return err
		}
		if _, there := d.latest[int32(num)]; !there {
			d.latest[int32(num)] = len(d.objects)
		}
		d.objects = append(d.objects, location{num: int32(num), pos: first + off, stream: s})
	}
	return nil
}
