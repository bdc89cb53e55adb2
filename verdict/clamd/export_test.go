package clamd

import "bytes"

// Read makes the parser of replies visible to tests.
func Read(reply []byte) (findings int, failed bool) {
	s := new(Scanner)
	text, err := readReply(bytes.NewReader(reply))
	if err != nil {
		return 0, true
	}
	fs, err := s.read(text)
	for _, f := range fs {
		failed = failed || f.Err != nil
	}
	return len(fs), failed || err != nil
}
