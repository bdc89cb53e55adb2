package smtpwire

import (
	"errors"
	"io"
)

// noEOF makes an error of an end that came too early.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
