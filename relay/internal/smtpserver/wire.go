package smtpserver

import (
	"errors"
	"net"
	"sync"
	"time"
)

var (
	errDraining = errors.New("the server is shutting down")
	errCut      = errors.New("cut off at the end of the time to drain")
)

// wire is the connection with a deadline for every read and write. Its conn, which STARTTLS replaces, is
// read and written by one goroutine; drain and cut may come from another one.
type wire struct {
	writeTimeout time.Duration
	raw          net.Conn // what was accepted

	mu       sync.Mutex
	nc       net.Conn      // raw, or TLS over it
	perRead  time.Duration // a read may take this long
	until    time.Time     // and no read may go on after this
	idle     bool          // nothing is lost if the read is broken off
	draining bool
	isCut    bool
}

// expect sets the deadlines of the reads to come.
func (w *wire) expect(perRead time.Duration, until time.Time, idle bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.perRead, w.until, w.idle = perRead, until, idle
}

// Read implements io.Reader.
func (w *wire) Read(p []byte) (int, error) {
	nc, err := w.arm()
	if err != nil {
		return 0, err
	}
	n, err := nc.Read(p)
	if err != nil && n == 0 {
		if stopped := w.stopped(); stopped != nil {
			err = stopped
		}
	}
	return n, err
}

// arm sets the deadline of a read.
func (w *wire) arm() (net.Conn, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.stoppedLocked(); err != nil {
		return nil, err
	}
	deadline := time.Now().Add(w.perRead)
	if w.until.Before(deadline) {
		deadline = w.until
	}
	return w.nc, w.nc.SetReadDeadline(deadline)
}

// stopped says why reading must end, or nil.
func (w *wire) stopped() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stoppedLocked()
}

func (w *wire) stoppedLocked() error {
	if w.isCut {
		return errCut
	}
	if w.draining && w.idle {
		return errDraining
	}
	return nil
}

// Write implements io.Writer.
func (w *wire) Write(p []byte) (int, error) {
	nc := w.conn()
	if err := nc.SetWriteDeadline(time.Now().Add(w.writeTimeout)); err != nil {
		return 0, err
	}
	return nc.Write(p)
}

func (w *wire) conn() net.Conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.nc
}

// replace goes on with nc, which is TLS over the connection.
func (w *wire) replace(nc net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nc = nc
}

// drain breaks off a read of an idle connection, and the next one that begins idle.
func (w *wire) drain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.draining = true
	if w.idle {
		_ = w.raw.SetReadDeadline(time.Unix(1, 0))
	}
}

// isDraining says whether drain was called.
func (w *wire) isDraining() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.draining
}

// cut closes the connection under whatever is going on.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.isCut = true
	w.raw.Close()
}

const (
	lingerTime  = time.Second
	lingerBytes = 1 << 20
)

// linger reads away what the peer still sends, for a short time. Closing a TCP connection with unread
// octets makes the system reset it, and the peer might never see the last reply.
func (w *wire) linger() {
	if nc := w.conn(); nc != w.raw && !closeWrite(nc) { // TLS says good-bye by itself
		return
	}
	if !closeWrite(w.raw) || w.raw.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	var scrap [512]byte
	for n := 0; n < lingerBytes; {
		m, err := w.raw.Read(scrap[:])
		if err != nil {
			return
		}
		n += m
	}
}

func closeWrite(nc net.Conn) bool {
	half, ok := nc.(interface{ CloseWrite() error })
	return ok && half.CloseWrite() == nil
}

// timedOut says whether err is that of a deadline.
func timedOut(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
