package pdf

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5"
	"crypto/rc4"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"io"
)

// method is a way to encrypt.
type method uint8

const (
	useNone method = iota
	useRC4
	useAES
	useAES256
)

// seal decrypts a file whose password for opening is empty (ISO 32000-2 section 7.6).
type seal struct {
	file            []byte // key of the file
	strings, stream method
}

// padding takes the place of a password that is missing (section 7.6.4.3.2, algorithm 2).
const padding = "\x28\xBF\x4E\x5E\x4E\x75\x8A\x41\x64\x00\x4E\x56\xFF\xFA\x01\x08\x2E\x2E\x00\xB6\xD0\x68\x3E\x80\x2F\x0C\xA9\xFE\x64\x53\x69\x7A"

// unlock finds the key of the file, if there is one that needs no password.
func (d *document) unlock() error {
	v := d.trailer.get("Encrypt")
	if v == nil {
		return nil
	}
	e, ok := d.resolve(v).(dict)
	if !ok {
		return d.src.err // nothing to encrypt with: readers do without
	}
	d.rep.Encrypted = true
	id := ""
	if list, ok := d.resolve(d.trailer.get("ID")).(array); ok && len(list) > 0 {
		s, _ := d.resolve(list[0]).(text)
		id = string(s)
	}
	if d.seal = d.newSeal(e, id); d.seal == nil {
		d.rep.Locked = true
	}
	return d.src.err
}

// newSeal returns nil if a password is needed or the way to encrypt is not known.
func (d *document) newSeal(e dict, id string) *seal {
	num := func(key name, def int64) int64 {
		if v, ok := d.resolve(e.get(key)).(int64); ok {
			return v
		}
		return def
	}
	str := func(key name) string {
		s, _ := d.resolve(e.get(key)).(text)
		return string(s)
	}
	if f := d.resolve(e.get("Filter")); f != nil && f != name("Standard") {
		return nil
	}
	version, revision := num("V", 0), num("R", 0)
	s := &seal{strings: useRC4, stream: useRC4}
	length := num("Length", 40) / 8
	switch version {
	case 1:
		length = 5
	case 2, 3:
	case 4, 5:
		s.stream, s.strings = d.method(e, "StmF"), d.method(e, "StrF")
		length = 16
	default:
		return nil
	}
	if version == 5 {
		s.file = key256(str("U"), str("UE"), revision)
	} else {
		meta, isBool := d.resolve(e.get("EncryptMetadata")).(bool)
		s.file = keyMD5(str("O"), str("U"), id, num("P", 0), revision, int(min(max(length, 5), 16)), !isBool || meta)
	}
	if s.file == nil {
		return nil
	}
	return s
}

// method looks up a crypt filter (section 7.6.6).
func (d *document) method(e dict, key name) method {
	n, _ := d.resolve(e.get(key)).(name)
	filters, _ := d.resolve(e.get("CF")).(dict)
	f, _ := d.resolve(filters.get(n)).(dict)
	switch d.resolve(f.get("CFM")) {
	case name("V2"):
		return useRC4
	case name("AESV2"):
		return useAES
	case name("AESV3"):
		return useAES256
	}
	return useNone
}

// keyMD5 computes and checks the key of revisions 2 to 4 (algorithms 2, 4 and 5).
func keyMD5(o, u, id string, p, revision int64, length int, meta bool) []byte {
	if len(o) < 32 || len(u) < 16 {
		return nil
	}
	h := md5.New()
	io.WriteString(h, padding)
	io.WriteString(h, o[:32])
	h.Write(binary.LittleEndian.AppendUint32(nil, uint32(p)))
	io.WriteString(h, id)
	if revision >= 4 && !meta {
		h.Write([]byte{0xFF, 0xFF, 0xFF, 0xFF})
	}
	key := h.Sum(nil)
	if revision < 3 {
		key = key[:length]
		if out := rc4Bytes(key, []byte(padding)); string(out) != u[:min(len(u), 32)] {
			return nil
		}
		return key
	}
	for range 50 {
		sum := md5.Sum(key[:length])
		key = sum[:]
	}
	key = key[:length]
	sum := md5.Sum([]byte(padding + id))
	out := sum[:]
	for i := range byte(20) {
		k := bytes.Clone(key)
		for j := range k {
			k[j] ^= i
		}
		out = rc4Bytes(k, out)
	}
	if string(out) != u[:16] {
		return nil
	}
	return key
}

func rc4Bytes(key, p []byte) []byte {
	c, err := rc4.NewCipher(key)
	if err != nil {
		return p
	}
	out := make([]byte, len(p))
	c.XORKeyStream(out, p)
	return out
}

// key256 computes and checks the key of revisions 5 and 6 (algorithm 2.A).
func key256(u, ue string, revision int64) []byte {
	if len(u) < 48 || len(ue) < 32 {
		return nil
	}
	hash := func(salt string) []byte {
		if revision < 6 {
			sum := sha256.Sum256([]byte(salt))
			return sum[:]
		}
		return hardened(salt)
	}
	if string(hash(u[32:40])) != u[:32] {
		return nil
	}
	block, err := aes.NewCipher(hash(u[40:48]))
	if err != nil {
		return nil
	}
	key := []byte(ue[:32])
	cipher.NewCBCDecrypter(block, make([]byte, aes.BlockSize)).CryptBlocks(key, key)
	return key
}

// hardened is the hash of revision 6 for an empty password (algorithm 2.B).
func hardened(salt string) []byte {
	sum := sha256.Sum256([]byte(salt))
	k := sum[:]
	for i := 0; ; i++ {
		e := bytes.Repeat(k, 64)
		block, err := aes.NewCipher(k[:16])
		if err != nil {
			return nil
		}
		cipher.NewCBCEncrypter(block, k[16:32]).CryptBlocks(e, e)
		mod := 0
		for _, c := range e[:16] {
			mod += int(c)
		}
		switch mod % 3 {
		case 0:
			s := sha256.Sum256(e)
			k = s[:]
		case 1:
			s := sha512.Sum384(e)
			k = s[:]
		default:
			s := sha512.Sum512(e)
			k = s[:]
		}
		if i >= 63 && int(e[len(e)-1]) <= i-31 {
			return k[:32]
		}
	}
}

// key returns what the key of an object is made of: the number and generation, after the key of the file.
func (s *seal) key(num, gen int32) []byte {
	return append(bytes.Clone(s.file), byte(num), byte(num>>8), byte(num>>16), byte(gen), byte(gen>>8))
}

// objectKey makes the key for a method (algorithm 1).
func (s *seal) objectKey(key []byte, m method) []byte {
	switch m {
	case useAES256:
		return key[:len(key)-5]
	case useAES:
		key = append(bytes.Clone(key), "sAlT"...)
	}
	sum := md5.Sum(key)
	return sum[:min(len(s.file)+5, 16)]
}

// openString decrypts a string; one that cannot be decrypted stays as it is.
func (s *seal) openString(key, p []byte) []byte {
	switch s.strings {
	case useNone:
		return p
	case useRC4:
		return rc4Bytes(s.objectKey(key, useRC4), p)
	}
	out, err := io.ReadAll(newCBC(s.objectKey(key, s.strings), bytes.NewReader(p)))
	if err != nil {
		return p
	}
	return out
}

// openStream decrypts a stream.
func (s *seal) openStream(key []byte, r io.Reader) io.Reader {
	switch s.stream {
	case useNone:
		return r
	case useRC4:
		c, err := rc4.NewCipher(s.objectKey(key, useRC4))
		if err != nil {
			return r
		}
		return cipher.StreamReader{S: c, R: r}
	}
	return newCBC(s.objectKey(key, s.stream), r)
}

// cbcReader decrypts AES in CBC mode, with the vector in front and padding at the end.
type cbcReader struct {
	r    io.Reader
	key  []byte
	mode cipher.BlockMode
	buf  [4096 + aes.BlockSize]byte
	held int    // bytes at the beginning of buf: a block that may be the last
	out  []byte // decrypted and not yet given
	err  error
}

func newCBC(key []byte, r io.Reader) io.Reader { return &cbcReader{r: r, key: key} }

func (c *cbcReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(c.out) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		c.fill()
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}

func (c *cbcReader) fill() {
	if c.mode == nil {
		block, err := aes.NewCipher(c.key)
		if err != nil {
			c.err = fmt.Errorf("%w: key of %d bytes", ErrFormat, len(c.key))
			return
		}
		iv := make([]byte, aes.BlockSize)
		if _, err := io.ReadFull(c.r, iv); err != nil {
			c.err = io.EOF
			return
		}
		c.mode = cipher.NewCBCDecrypter(block, iv)
	}
	// The block that was held back last stands at the end of what has been given.
	copy(c.buf[:aes.BlockSize], c.buf[len(c.buf)-aes.BlockSize:])
	n, err := io.ReadFull(c.r, c.buf[c.held:len(c.buf)-aes.BlockSize])
	n += c.held
	n -= n % aes.BlockSize
	c.mode.CryptBlocks(c.buf[c.held:n], c.buf[c.held:n])
	if err != nil {
		c.err = io.EOF
		if err != io.EOF && err != io.ErrUnexpectedEOF {
			c.err = err
		}
		if n > 0 {
			if pad := int(c.buf[n-1]); pad >= 1 && pad <= aes.BlockSize {
				n -= pad
			}
		}
		c.out = c.buf[:n]
		return
	}
	c.held = aes.BlockSize
	copy(c.buf[len(c.buf)-aes.BlockSize:], c.buf[n-aes.BlockSize:n])
	c.out = c.buf[:n-aes.BlockSize]
}
