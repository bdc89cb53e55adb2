package smtpserver

import "sync"

// flushAt is the size at which queued replies are sent even though more commands wait.
const flushAt = 4 << 10

// outBuffers are buffers for replies; a connection has one only while there is something to send.
var outBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, 512)
	return &b
}}
