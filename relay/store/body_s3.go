package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/postreeve/postreeve/verdict"
)

// objects keeps bodies in a bucket of an S3-compatible store. A PUT is durable when it is answered; that a
// body is whole is checked by its digest, which stands in the object's metadata.
type objects struct {
	client *minio.Client
	keys   *s3Keys
	bucket string
	prefix string
	step   func(string) error
}

const digestKey = "Postreeve-Sha256"

// newObjects opens s3://BUCKET/PREFIX?endpoint=HOST[:PORT]&region=REGION&insecure=1. For the keys
// see newS3Keys.
func newObjects(ctx context.Context, u *url.URL, c Config) (*objects, error) {
	q := u.Query()
	for k := range q {
		if k != "endpoint" && k != "region" && k != "insecure" {
			return nil, fmt.Errorf("store: bodies %s: unknown parameter %q: there are endpoint, region and insecure", redactURL(u.String()), k)
		}
	}
	if u.Host == "" {
		return nil, fmt.Errorf("store: bodies %s: no bucket", redactURL(u.String()))
	}
	keys, err := newS3Keys(c)
	if err != nil {
		return nil, fmt.Errorf("store: keys for %s: %w", redactURL(u.String()), err)
	}
	client, err := minio.New(cmp.Or(q.Get("endpoint"), "s3.amazonaws.com"), &minio.Options{
		Creds: keys.creds, Secure: q.Get("insecure") == "", Region: q.Get("region"), MaxRetries: 3,
	})
	if err != nil {
		return nil, fmt.Errorf("store: bodies %s: %w", redactURL(u.String()), err)
	}
	o := &objects{client: client, keys: keys, bucket: u.Host, prefix: strings.Trim(u.Path, "/"), step: c.step}
	ok, err := client.BucketExists(ctx, o.bucket)
	if err == nil && !ok {
		err = errors.New("there is no such bucket, or the key may not see it: make it first")
	}
	if err != nil {
		return nil, fmt.Errorf("store: bodies %s: %w", redactURL(u.String()), err)
	}
	return o, nil
}

// name is where a key is: chance first, since stores spread their load by the beginning of names, and in no
// folder, since some stores on file systems take folders away when they are empty, while others write there.
func (o *objects) name(key string) string {
	if validKey(key) {
		day, name := key[:len(dayFormat)], key[len(dayFormat)+3:]
		key = name + "." + day
	}
	return path.Join(o.prefix, key)
}

// keyOf is the key of a name without the prefix; it may be no valid one.
func keyOf(name string) string {
	name, day, _ := strings.Cut(name, ".")
	return day + "/" + name[:min(1, len(name))] + "/" + name
}

// Put sends the body with its digest, which is made first.
func (o *objects) Put(ctx context.Context, key string, src verdict.Source) error {
	if !validKey(key) {
		return fmt.Errorf("store: %q is no key", key)
	}
	if err := o.step("body.create"); err != nil {
		return err
	}
	sum := sha256.New()
	if err := copyAll(sum, src); err != nil {
		return err
	}
	r := &rewinder{src: src}
	defer r.Close()
	err := o.signed(func() error {
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			return err
		}
		_, err := o.client.PutObject(ctx, o.bucket, o.name(key), r, src.Size(), minio.PutObjectOptions{
			ContentType:  "application/octet-stream", // a browser must not show it
			UserMetadata: map[string]string{digestKey: hex.EncodeToString(sum.Sum(nil))},
			// One PUT up to the largest message; parts would need memory for each.
			DisableMultipart: true,
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("store: put %s: %w", key, err)
	}
	return o.step("body.put")
}

// setMark writes the mark.
func (o *objects) setMark(ctx context.Context, mark string) error {
	return o.signed(func() error {
		_, err := o.client.PutObject(ctx, o.bucket, o.name(markName), strings.NewReader(mark+"\n"), int64(len(mark)+1), minio.PutObjectOptions{})
		return err
	})
}

// rewinder reads a source again from any place, so that the client can send a body a second time.
type rewinder struct {
	src verdict.Source
	r   io.ReadCloser // nil: opened at at when it is read
	at  int64
}

func (r *rewinder) Read(p []byte) (int, error) {
	if r.r == nil {
		in, err := r.src.Open()
		if err != nil {
			return 0, err
		}
		if _, err := io.CopyN(io.Discard, in, r.at); err != nil {
			return 0, errors.Join(err, in.Close())
		}
		r.r = in
	}
	n, err := r.r.Read(p)
	r.at += int64(n)
	return n, err
}

func (r *rewinder) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.src.Size()
	}
	if offset < 0 || offset > r.src.Size() {
		return r.at, errors.New("store: seek outside of the body")
	}
	if offset == r.at {
		return offset, nil
	}
	r.at = offset
	return offset, r.Close()
}

func (r *rewinder) Close() error {
	if r.r == nil {
		return nil
	}
	err := r.r.Close()
	r.r = nil
	return err
}

// smallObject is how large a body may be that is read with the request that finds it.
const smallObject = 64 << 10

// Get reads a small body at once; of a large one it learns size and digest.
func (o *objects) Get(ctx context.Context, key string) (verdict.Source, error) {
	if !validKey(key) {
		return nil, fmt.Errorf("store: %q is no key", key)
	}
	var first []byte
	var info minio.ObjectInfo
	err := o.signed(func() (err error) {
		first, info, err = o.first(ctx, key)
		return err
	})
	if notThere(err) {
		return nil, fmt.Errorf("%w: %s", ErrNoBody, key)
	}
	if err != nil {
		return nil, fmt.Errorf("store: get %s: %w", key, err)
	}
	want, err := hex.DecodeString(info.Metadata.Get("X-Amz-Meta-" + digestKey))
	if err != nil || len(want) != sha256.Size {
		return nil, fmt.Errorf("%w: object %s has no digest", ErrDamaged, key)
	}
	if info.Size > int64(len(first)) {
		return &object{o, ctx, key, info.Size, want}, nil
	}
	if sum := sha256.Sum256(first); !bytes.Equal(sum[:], want) {
		return nil, fmt.Errorf("%w: the digest of %s is another", ErrDamaged, key)
	}
	return verdict.Bytes(first), nil
}

// first reads the beginning of an object. The size in info is that of the whole.
func (o *objects) first(ctx context.Context, key string) ([]byte, minio.ObjectInfo, error) {
	var opts minio.GetObjectOptions
	if err := opts.SetRange(0, smallObject-1); err != nil {
		return nil, minio.ObjectInfo{}, err
	}
	r, info, header, err := minio.Core{Client: o.client}.GetObject(ctx, o.bucket, o.name(key), opts)
	if minio.ToErrorResponse(err).Code == minio.InvalidRange { // there is no first byte: it is empty
		info, err = o.client.StatObject(ctx, o.bucket, o.name(key), minio.StatObjectOptions{})
		return nil, info, err
	}
	if err != nil {
		return nil, info, err
	}
	defer r.Close()
	if _, whole, ok := strings.Cut(header.Get("Content-Range"), "/"); ok { // RFC 9110 section 14.4
		if info.Size, err = strconv.ParseInt(whole, 10, 64); err != nil {
			return nil, info, fmt.Errorf("size %q: %w", whole, err)
		}
	}
	b, err := io.ReadAll(io.LimitReader(r, smallObject))
	return b, info, err
}

func notThere(err error) bool {
	code := minio.ToErrorResponse(err).Code
	return code == minio.NoSuchKey || code == "NotFound" || errors.Is(err, os.ErrNotExist)
}

func (o *objects) Delete(ctx context.Context, key string) error {
	if !validKey(key) {
		return fmt.Errorf("store: %q is no key", key)
	}
	if err := o.step("body.delete"); err != nil {
		return err
	}
	err := o.signed(func() error {
		return o.client.RemoveObject(ctx, o.bucket, o.name(key), minio.RemoveObjectOptions{})
	})
	if err != nil && !notThere(err) {
		return fmt.Errorf("store: delete %s: %w", key, err)
	}
	return nil
}

func (o *objects) List(ctx context.Context) iter.Seq2[BodyInfo, error] {
	return func(yield func(BodyInfo, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		prefix := o.prefix
		if prefix != "" {
			prefix += "/"
		}
		for info := range o.client.ListObjectsIter(ctx, o.bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
			if info.Err != nil {
				o.keys.refused(info.Err) // the next list has others, perhaps
				yield(BodyInfo{}, fmt.Errorf("store: list: %w", info.Err))
				return
			}
			key := keyOf(strings.TrimPrefix(info.Key, prefix))
			if validKey(key) && !yield(BodyInfo{key, info.Size, info.LastModified}, nil) {
				return
			}
		}
	}
}

// object is a body in a bucket. Each reader is a request of its own.
type object struct {
	objects *objects
	ctx     context.Context
	key     string
	size    int64
	want    []byte
}

func (b *object) Size() int64 { return b.size }

func (b *object) Open() (io.ReadCloser, error) {
	var r io.ReadCloser
	err := b.objects.signed(func() (err error) {
		r, _, _, err = minio.Core{Client: b.objects.client}.GetObject(b.ctx, b.objects.bucket, b.objects.name(b.key), minio.GetObjectOptions{})
		return err
	})
	if err != nil {
		return nil, err
	}
	return &objectReader{ReadCloser: r, sum: sha256.New(), left: b.size, want: b.want, key: b.key}, nil
}

// objectReader says at the end whether the bytes are those that were put.
type objectReader struct {
	io.ReadCloser
	sum  hash.Hash
	left int64
	want []byte
	key  string
}

func (r *objectReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.sum.Write(p[:n])
	r.left -= int64(n)
	if (err == io.EOF || err == nil && r.left <= 0) && (r.left != 0 || string(r.sum.Sum(nil)) != string(r.want)) {
		return n, fmt.Errorf("%w: the digest of %s is another", ErrDamaged, r.key)
	}
	return n, err
}
