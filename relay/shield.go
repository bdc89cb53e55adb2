package relay

import (
	"fmt"
	"runtime/debug"
)

// shield calls what a service has plugged in. A panic there is an error of the message at hand, told by
// the log with its stack, and ends nothing else.
func shield[T any](s *Server, what string, f func() (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log().Error("panic in the "+what, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			var none T
			v, err = none, fmt.Errorf("panic in the %s: %v", what, p)
		}
	}()
	return f()
}

// hook calls a hook of Trace. One that panics must not cost a reply: what was delivered would be sent again.
func (s *Server) hook(name string, f func()) {
	_, _ = shield(s, name+" hook", func() (struct{}, error) {
		f()
		return struct{}{}, nil
	})
}
