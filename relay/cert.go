package relay

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"
	"time"
)

// CertFile is a certificate chain and its key in two PEM files, which are read again when they have
// changed. While the new ones cannot be read or do not fit together, the old ones stay in use.
// Its method GetCertificate goes into tls.Config. It may be used by many goroutines at once.
type CertFile struct {
	Cert, Key string

	mu      sync.Mutex
	pair    *tls.Certificate
	seen    [2]stamp
	checked time.Time
	err     error
}

type stamp struct {
	mod  time.Time
	size int64
}

// GetCertificate returns the pair as it is on disk, looking at most once a second.
func (c *CertFile) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pair == nil || time.Since(c.checked) >= time.Second {
		c.checked = time.Now()
		c.err = c.load()
	}
	if c.pair == nil {
		return nil, c.err
	}
	return c.pair, nil
}

// Err says why the files could not be read the last time they were looked at, or nil.
func (c *CertFile) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *CertFile) load() error {
	var now [2]stamp
	for i, path := range []string{c.Cert, c.Key} {
		fi, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("TLS certificate: %w", err)
		}
		now[i] = stamp{fi.ModTime(), fi.Size()}
	}
	if c.pair != nil && now == c.seen {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return fmt.Errorf("TLS certificate %s with key %s: %w", c.Cert, c.Key, err)
	}
	c.pair, c.seen = &pair, now
	return nil
}
