package icap

import (
	"bufio"
	"bytes"
	"crypto/sha256"

	"github.com/postreeve/postreeve/verdict"
)

// Read makes the parser of answers visible to tests, for a content that was sent.
func Read(content, answer []byte, reqmod bool) ([]verdict.Finding, error) {
	x := &exchange{scanner: &Scanner{Reqmod: reqmod}, size: int64(len(content)), sent: int64(len(content)), sum: sha256.New()}
	x.sum.Write(content)
	r, err := readResponse(bufio.NewReader(bytes.NewReader(answer)))
	if err != nil {
		return nil, err
	}
	return x.judge(r)
}

// ReadOptions makes the parser of options visible to tests.
func ReadOptions(answer []byte) error {
	r, err := readResponse(bufio.NewReader(bytes.NewReader(answer)))
	if err == nil {
		_, err = readOptions(r, "RESPMOD")
	}
	return err
}
