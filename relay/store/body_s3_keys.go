package store

import (
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// keysAge is how long keys are used before they are read again: whoever changes them need not start anything.
const keysAge = 5 * time.Minute

// s3Keys are the keys of an object store, which change now and then.
type s3Keys struct {
	creds *credentials.Credentials
}

// newS3Keys returns those of Config.S3Keys, or else those that AWS tools would take: of the environment, of
// ~/.aws/credentials, or of the role of the machine.
func newS3Keys(c Config) (*s3Keys, error) {
	if c.S3Keys == nil {
		return &s3Keys{credentials.NewChainCredentials([]credentials.Provider{
			&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{Client: &http.Client{Timeout: 5 * time.Second}},
		})}, nil
	}
	creds := credentials.New(&keyReader{read: c.S3Keys, log: c.Log})
	_, err := creds.GetWithContext(nil)
	return &s3Keys{creds}, err
}

// refused has the keys read again if err says that they are not good any more.
func (k *s3Keys) refused(err error) bool {
	if err == nil {
		return false
	}
	r := minio.ToErrorResponse(err)
	switch r.Code {
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "XAdminUserNotFound": // the last one is of versitygw, with 404
	default:
		if r.StatusCode != http.StatusForbidden && r.StatusCode != http.StatusUnauthorized {
			return false
		}
	}
	k.creds.Expire()
	return true
}

// signed makes a request, and once more with keys that are read again if those that we have are refused.
func (o *objects) signed(request func() error) error {
	was, _ := o.keys.creds.GetWithContext(o.client.CredContext())
	err := request()
	if !o.keys.refused(err) {
		return err
	}
	if now, kerr := o.keys.creds.GetWithContext(o.client.CredContext()); kerr != nil || now.AccessKeyID == was.AccessKeyID &&
		now.SecretAccessKey == was.SecretAccessKey && now.SessionToken == was.SessionToken {
		return err
	}
	return request()
}

// keyReader reads keys now and then. Those that were read last are used while there are no others: a file may be
// missing for a moment while it is exchanged.
type keyReader struct {
	read func() (id, secret string, err error)
	log  *slog.Logger

	mu   sync.Mutex
	last credentials.Value
	at   time.Time
}

// RetrieveWithCredContext implements credentials.Provider.
func (p *keyReader) RetrieveWithCredContext(*credentials.CredContext) (credentials.Value, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id, secret, err := p.read()
	switch {
	case err == nil:
		p.last = credentials.Value{AccessKeyID: id, SecretAccessKey: secret, SignerType: credentials.SignatureV4}
	case p.at.IsZero():
		return credentials.Value{}, err
	default:
		p.log.Warn("the keys of the object store cannot be read, those that were read last are used", "error", err)
	}
	p.at = time.Now()
	return p.last, nil
}

// Retrieve implements credentials.Provider.
func (p *keyReader) Retrieve() (credentials.Value, error) { return p.RetrieveWithCredContext(nil) }

// IsExpired implements credentials.Provider.
func (p *keyReader) IsExpired() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.at) > keysAge
}
