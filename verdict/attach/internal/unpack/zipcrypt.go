package unpack

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"hash/crc32"
	"io"
)

// unlockZip tries the passwords on an encrypted entry, and makes its member readable with the first that
// fits. Encryption of the PKWARE kind (APPNOTE 6) and of WinZip's AES are known; others stay locked.
func (w *walker) unlockZip(e *zipEntryInfo, m *Member) {
	if e.lost != nil || e.flags&(1<<6) != 0 {
		return
	}
	const most = 3 // members, until a password fits: there may be many, and each costs time
	if w.facts.Password == "" {
		if w.tried++; w.tried > most {
			return
		}
	}
	for _, pass := range w.passwords() {
		if w.ctx.Err() != nil {
			return
		}
		open := w.zipPassword(e, pass)
		if open == nil {
			continue
		}
		m.Locked, m.Opened, m.Stored, m.open = false, true, 0, open
		w.facts.Password = pass
		return
	}
}

// passwords has the one that fitted before first.
func (w *walker) passwords() []string {
	if w.facts.Password == "" {
		return w.lim.Passwords
	}
	return append([]string{w.facts.Password}, w.lim.Passwords...)
}

// zipPassword returns how to open an entry with a password, or nil if it does not fit.
func (w *walker) zipPassword(e *zipEntryInfo, pass string) func() (io.ReadCloser, error) {
	if e.method == zipAES {
		return w.zipAES(e, pass)
	}
	const header = 12
	if e.packed < header {
		return nil
	}
	var p [header]byte
	if _, err := w.r.ReadAt(p[:], e.body); err != nil {
		return nil
	}
	keys := newZipKeys(pass)
	for i := range p {
		p[i] = keys.decrypt(p[i])
	}
	want := byte(e.crc >> 24)
	if e.localFlags&8 != 0 {
		want = byte(e.time >> 8)
	}
	if p[header-1] != want {
		return nil
	}
	return func() (io.ReadCloser, error) {
		k := keys
		r := io.NewSectionReader(w.r, e.body+header, e.packed-header)
		return w.unzip(e, &zipDecrypter{r: r, keys: &k})
	}
}

// zipKeys are those of APPNOTE 6.1.
type zipKeys [3]uint32

func newZipKeys(pass string) zipKeys {
	k := zipKeys{0x12345678, 0x23456789, 0x34567890}
	for i := range len(pass) {
		k.update(pass[i])
	}
	return k
}

func (k *zipKeys) update(c byte) {
	step := func(crc uint32, c byte) uint32 { return crc32.IEEETable[byte(crc)^c] ^ crc>>8 }
	k[0] = step(k[0], c)
	k[1] = (k[1]+k[0]&0xFF)*134775813 + 1
	k[2] = step(k[2], byte(k[1]>>24))
}

func (k *zipKeys) decrypt(c byte) byte {
	t := uint16(k[2]) | 2
	c ^= byte(t * (t ^ 1) >> 8)
	k.update(c)
	return c
}

type zipDecrypter struct {
	r    io.Reader
	keys *zipKeys
}

func (z *zipDecrypter) Read(p []byte) (int, error) {
	n, err := z.r.Read(p)
	for i := range p[:n] {
		p[i] = z.keys.decrypt(p[i])
	}
	return n, err
}

// zipAES returns how to open an entry of WinZip's AE-1 or AE-2 with a password, or nil if it does not fit.
// The code behind the content that proves it is not checked: what is wanted is the content.
func (w *walker) zipAES(e *zipEntryInfo, pass string) func() (io.ReadCloser, error) {
	x := extraField(e.extra, 0x9901)
	if len(x) < 7 || x[4] < 1 || x[4] > 3 {
		return nil
	}
	const verifier, mac = 2, 10
	keyLen := 8 + 8*int(x[4])
	salt := make([]byte, keyLen/2+verifier)
	if _, err := w.r.ReadAt(salt, e.body); err != nil || e.packed < int64(len(salt)+mac) {
		return nil
	}
	key, err := pbkdf2.Key(sha1.New, pass, salt[:keyLen/2], 1000, 2*keyLen+verifier)
	if err != nil || subtle.ConstantTimeCompare(key[2*keyLen:], salt[keyLen/2:]) == 0 {
		return nil
	}
	inner := *e
	inner.method = binary.LittleEndian.Uint16(x[5:])
	return func() (io.ReadCloser, error) {
		block, err := aes.NewCipher(key[:keyLen])
		if err != nil {
			return nil, err
		}
		r := io.NewSectionReader(w.r, e.body+int64(len(salt)), e.packed-int64(len(salt)+mac))
		return w.unzip(&inner, &littleCTR{r: r, block: block, used: aes.BlockSize})
	}
}

// littleCTR is AES in counter mode, with a counter that begins at 1 and has its lowest byte first.
type littleCTR struct {
	r       io.Reader
	block   cipher.Block
	counter [aes.BlockSize]byte
	pad     [aes.BlockSize]byte
	used    int
}

func (c *littleCTR) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	for i := range p[:n] {
		if c.used == len(c.pad) {
			for j := range c.counter {
				if c.counter[j]++; c.counter[j] != 0 {
					break
				}
			}
			c.block.Encrypt(c.pad[:], c.counter[:])
			c.used = 0
		}
		p[i] ^= c.pad[c.used]
		c.used++
	}
	return n, err
}
