package spamd

import "bytes"

// Read makes the parser of replies visible to tests.
func Read(b []byte) (spam bool, body string, err error) {
	r, err := readReply(bytes.NewReader(b))
	if err != nil {
		return false, "", err
	}
	return r.spam, r.body, nil
}
