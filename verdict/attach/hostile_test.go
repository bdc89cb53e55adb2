package attach_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/attach"
)

// zeros is a gzip file of n bytes that are all the same.
func zeros(n int64) string {
	return gzipped(strings.Repeat("\x00", int(n)))
}

// deep is a zip file in a zip file, and so on.
func deep(levels int) string {
	data := zipped(file{"a.txt", "hello"})
	for i := range levels {
		data = zipped(file{fmt.Sprintf("%d.zip", i), data})
	}
	return data
}

// wide is a zip file of zip files of zip files.
func wide(levels, each int, data string) string {
	for range levels {
		files := make([]file, each)
		for i := range files {
			files[i] = file{fmt.Sprintf("%d.zip", i), data}
		}
		data = zipped(files...)
	}
	return data
}

// overlapping is a zip file whose members all have the same bytes: n times 16 MiB.
func overlapping(n int) string {
	var packed bytes.Buffer
	fw, _ := flate.NewWriter(&packed, 9)
	io.Copy(fw, io.LimitReader(zeroReader{}, 16<<20))
	fw.Close()
	le := binary.LittleEndian
	var b bytes.Buffer
	head := make([]byte, 30)
	copy(head, "PK\x03\x04\x14\x00\x00\x00\x08\x00")
	le.PutUint32(head[18:], uint32(packed.Len()))
	le.PutUint32(head[22:], 16<<20)
	le.PutUint16(head[26:], 1)
	b.Write(head)
	b.WriteString("a")
	b.Write(packed.Bytes())
	dir := b.Len()
	for range n {
		e := make([]byte, 46)
		copy(e, "PK\x01\x02\x14\x00\x14\x00\x00\x00\x08\x00")
		le.PutUint32(e[20:], uint32(packed.Len()))
		le.PutUint32(e[24:], 16<<20)
		le.PutUint16(e[28:], 1)
		b.Write(e)
		b.WriteString("a")
	}
	end := make([]byte, 22)
	copy(end, "PK\x05\x06")
	le.PutUint16(end[8:], uint16(n))
	le.PutUint16(end[10:], uint16(n))
	le.PutUint32(end[12:], uint32(b.Len()-dir))
	le.PutUint32(end[16:], uint32(dir))
	b.Write(end)
	return b.String()
}

// noise is text of a few letters that packs to about a third.
func noise(n int) string {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = "abcd"[r.IntN(4)]
	}
	return string(b)
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// lyingXz claims a dictionary of 1.5 GiB.
func lyingXz() string {
	b := []byte(unbase64("/Td6WFoAAATm1rRGAgAhARYAAAB0L+WjAQAEaGVsbG8AAAAAsTe52+XaHpsAAR0FuC2Arx+2830BAAAAAARZWg=="))
	b[16] = 37
	return string(b)
}

// many is a zip file with n members.
func many(n int) string {
	files := make([]file, n)
	for i := range files {
		files[i] = file{fmt.Sprintf("%d.txt", i), ""}
	}
	return zipped(files...)
}

// bombs are what cannot be looked at to its end. They are made when they are asked for: some are large.
var bombs = []struct {
	name string
	make func() string
	want string // a code with an Err
}{
	{"too deep", func() string { return deep(20) }, verdict.CodeArchiveLimit},
	{"too many members", func() string { return many(1500) }, verdict.CodeArchiveLimit},
	{"too many archives", func() string { return wide(3, 40, "x") }, verdict.CodeArchiveLimit},
	{"ratio", func() string { return zeros(40 << 20) }, verdict.CodeArchiveLimit},
	{"ratio, two levels", func() string { return gzipped(zeros(100 << 20)) }, verdict.CodeArchiveLimit},
	{"overlap", func() string { return overlapping(200) }, verdict.CodeArchiveLimit},
	{"cut", func() string { return zipped(file{"a.bin", strings.Repeat("hello", 1000)})[:60] }, verdict.CodeArchiveBroken},
	{"huge 7z header", func() string {
		b := make([]byte, 64)
		copy(b, "7z\xBC\xAF\x27\x1C\x00\x04")
		binary.LittleEndian.PutUint64(b[20:], 1<<40)
		return string(b)
	}, verdict.CodeArchiveBroken},
	{"huge zip directory", func() string {
		return "PK\x03\x04" + strings.Repeat("\x00", 40) + "PK\x05\x06\x00\x00\x00\x00\xFF\xFE\xFF\xFE\xFF\xFF\xFF\x7F\x00\x00\x00\x00\x00\x00"
	}, verdict.CodeArchiveBroken},
	{"SFX of nothing", func() string { return exe + "7z\xBC\xAF\x27\x1C" + strings.Repeat("\xFF", 100) }, verdict.CodeArchiveBroken},
}

// TestBombs sees to it that what passes a limit is said to, in time and in little memory, and that a
// program beside it is still found.
func TestBombs(t *testing.T) {
	for _, c := range bombs {
		t.Run(c.name, func(t *testing.T) {
			m := message(t, "bomb.bin", c.make())
			var fs []verdict.Finding
			var err error
			took, memory := measured(func() { fs, err = attach.Scanner{}.Scan(t.Context(), m) })
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, f := range fs {
				found = found || f.Code == c.want && f.Err != nil
			}
			if !found {
				t.Errorf("findings %v; want %s with an error", fs, c.want)
			}
			if class := (verdict.Weigh{}).Merge(m, fs); class != verdict.Unknown && class != verdict.Malicious {
				t.Errorf("class %v; want unknown", class)
			}
			if took > 20*time.Second { // the limit is 2 s of a machine that is not busy
				t.Errorf("took %v", took)
			}
			if memory > 64<<20 {
				t.Errorf("took %d MB of memory", memory>>20)
			}
			t.Logf("%v, %d MB, %v", took.Round(time.Millisecond), memory>>20, codes(fs))
		})
	}
}

// measured calls f, and returns how long it took and how much more memory was in use at any time.
func measured(f func()) (time.Duration, int64) {
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	var most atomic.Uint64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.NewTicker(2 * time.Millisecond); ; {
			select {
			case <-stop:
				tick.Stop()
				return
			case <-tick.C:
				runtime.ReadMemStats(&now)
				most.Store(max(most.Load(), now.HeapInuse))
			}
		}
	}()
	start := time.Now()
	f()
	took := time.Since(start)
	close(stop)
	<-done
	return took, max(0, int64(most.Load())-int64(before.HeapInuse))
}

// TestLyingDictionary sees to it that no memory is taken for what a file only claims.
func TestLyingDictionary(t *testing.T) {
	m := message(t, "a.xz", lyingXz())
	_, memory := measured(func() { attach.Scanner{}.Scan(t.Context(), m) })
	if memory > 40<<20 {
		t.Errorf("took %d MB of memory", memory>>20)
	}
}

// TestTruncation cuts archives everywhere: nothing hangs, and nothing that is cut is clean if a program
// was in it.
func TestTruncation(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"a.zip":    zipped(file{"invoice.exe", exe}, file{"b.txt", strings.Repeat("hello", 100)}),
		"a.tar.gz": gzipped(tarred(file{"invoice.exe", exe})),
		"a.iso":    image("INVOICE.EXE;1", exe),
	} {
		for n := 1; n < len(data); n += 1 + n/40 {
			m := message(t, name, data[:n])
			fs, err := attach.Scanner{}.Scan(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			if class := (verdict.Weigh{}).Merge(m, fs); class == verdict.Clean && n > 40 && len(fs) == 0 && name != "a.iso" {
				t.Errorf("%s, cut after %d of %d bytes: clean", name, n, len(data))
			}
		}
	}
}

// TestLimits sees to it that each limit counts for the whole message.
func TestLimits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		limits attach.Limits
		data   string
	}{
		"depth":   {attach.Limits{Depth: 2}, deep(2)},
		"entries": {attach.Limits{Entries: 3}, many(4)},
		"output":  {attach.Limits{Output: 10 << 10}, zipped(file{"a", strings.Repeat("hello", 4000)})},
		"ratio":   {attach.Limits{Ratio: 2}, gzipped(noise(2 << 20))},
		"memory":  {attach.Limits{Memory: 1000}, gzipped("hello")},
	} {
		fs, err := attach.Scanner{Limits: c.limits}.Scan(t.Context(), message(t, "a.bin", c.data))
		if err != nil || !slices.Contains(codes(fs), "archive.limit!") {
			t.Errorf("%s: findings %v, error %v; want archive.limit", name, fs, err)
		}
		fs, err = attach.Scanner{}.Scan(t.Context(), message(t, "a.bin", c.data))
		if err != nil || slices.ContainsFunc(fs, func(f verdict.Finding) bool { return f.Err != nil }) {
			t.Errorf("%s, with the defaults: findings %v, error %v; want none", name, fs, err)
		}
	}
}

// FuzzScan looks for panics and for answers that take too long, and sees to it that a program beside
// anything at all is found.
func FuzzScan(f *testing.F) {
	for _, c := range attachments {
		if len(c.data) < 10<<10 {
			f.Add(c.name, []byte(c.data))
		}
	}
	s := attach.Scanner{Limits: attach.Limits{Time: 500 * time.Millisecond, Output: 4 << 20}}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		start := time.Now()
		m := message(t, strings.ToValidUTF8(name, "?"), string(data))
		if _, err := s.Scan(t.Context(), m); err != nil {
			t.Error(err)
		}
		m = message(t, "a.zip", zipped(file{"a.exe", exe}, file{strings.ToValidUTF8(name, "?"), string(data)}))
		fs, err := s.Scan(t.Context(), m)
		if class := (verdict.Weigh{}).Merge(m, fs); class != verdict.Malicious || err != nil {
			t.Errorf("class %v, error %v: the program is lost", class, err)
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("took %v", took)
		}
	})
}
