package m365

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// A TokenCache keeps refresh tokens in a file, encrypted with AES-GCM. What was written for one application
// and tenant opens for no other. It is safe for concurrent use within a process.
type TokenCache struct {
	path string
	aead cipher.AEAD
	mu   sync.Mutex
}

// NewTokenCache returns a cache in the file, which need not exist. The key has 32 bytes, see [ParseCacheKey];
// it must not lie beside the file.
func NewTokenCache(path string, key []byte) (*TokenCache, error) {
	if len(key) != 32 {
		return nil, errors.New("m365: the key of the token cache must have 32 bytes")
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("m365: token cache: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("m365: token cache: %w", err)
	}
	return &TokenCache{path: path, aead: aead}, nil
}

// ParseCacheKey reads a key of 32 bytes in hexadecimal or base64, as it stands in a file or a variable.
func ParseCacheKey(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	if b, err := hex.DecodeString(text); err == nil && len(b) == 32 {
		return b, nil
	}
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := enc.DecodeString(text); err == nil && len(b) == 32 {
			return b, nil
		}
	}
	return nil, errors.New("m365: the key of the token cache must be 32 bytes in hexadecimal or base64: make one with openssl rand -hex 32")
}

// NewCacheKey returns a new random key in hexadecimal.
func NewCacheKey() string {
	var b [32]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// read returns the sealed entries by name. A file that is not ours is as good as none.
func (c *TokenCache) read() map[string][]byte {
	out := map[string][]byte{}
	raw, err := os.ReadFile(c.path)
	if err != nil || len(raw) > 1<<20 || json.Unmarshal(raw, &out) != nil || out == nil {
		return map[string][]byte{}
	}
	return out
}

func (c *TokenCache) load(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	sealed, ok := c.read()[name]
	if !ok {
		return ""
	}
	plain, err := c.aead.Open(nil, nil, sealed, []byte(name))
	if err != nil {
		return ""
	}
	return string(plain)
}

func (c *TokenCache) store(name, value string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.read()
	all[name] = c.aead.Seal(nil, nil, []byte(value), []byte(name))
	raw, err := json.Marshal(all)
	if err != nil {
		return fmt.Errorf("m365: token cache: %w", err)
	}
	// A file of its own, renamed: a crash leaves the old one or the new one. CreateTemp makes it 0600.
	f, err := os.CreateTemp(filepath.Dir(c.path), ".tokens-*")
	if err != nil {
		return fmt.Errorf("m365: token cache: %w", err)
	}
	_, err = f.Write(raw)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), c.path)
	}
	if err != nil {
		return fmt.Errorf("m365: token cache: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// Clear removes the file: whoever signed in has to sign in again.
func (c *TokenCache) Clear() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := os.Remove(c.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("m365: token cache: %w", err)
	}
	return nil
}
