package icap

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http/httputil"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/internal/remote"
)

const (
	codeInfected = "icap.infected"
	codeBlocked  = "icap.blocked"
	codeModified = "icap.modified"

	maxHeads = 64 << 10 // of the HTTP heads in an answer
)

// response is what a service answers, up to what it encapsulates.
type response struct {
	status int
	header textproto.MIMEHeader
	in     *bufio.Reader
}

// readResponse reads the status line and the header of an answer.
func readResponse(in *bufio.Reader) (*response, error) {
	tp := textproto.NewReader(in)
	line, err := tp.ReadLine()
	if err != nil {
		return nil, unreadable(err)
	}
	protocol, rest, _ := strings.Cut(line, " ")
	code, _, _ := strings.Cut(rest, " ")
	status, err := strconv.Atoi(code)
	if err != nil || len(code) != 3 || status < 100 || !strings.HasPrefix(protocol, "ICAP/1.") {
		return nil, fmt.Errorf("%w: %.60q", remote.ErrAnswer, line)
	}
	h, err := tp.ReadMIMEHeader()
	if err != nil {
		return nil, unreadable(err)
	}
	return &response{status, h, in}, nil
}

func unreadable(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %w", remote.ErrAnswer, err)
}

// judge makes findings of an answer to the message.
func (x *exchange) judge(r *response) ([]verdict.Finding, error) {
	if r.status != 200 && r.status != 204 {
		x.scanner.forget()
		return nil, fmt.Errorf("it answers %d", r.status)
	}
	if name, ok := infection(r.header); ok {
		return x.found(codeInfected, name), nil
	}
	if r.status == 204 {
		if err := x.stop(); err != nil {
			return nil, x.because(errHasty)
		}
		return nil, nil
	}
	e, err := r.open()
	if err != nil {
		return nil, x.because(err)
	}
	if line, ok := e.blocked(x.scanner.Reqmod); ok {
		return x.found(codeBlocked, line), nil
	}
	return x.compare(e.body)
}

// compare reads the content that came back and compares it with what was sent.
func (x *exchange) compare(body io.Reader) ([]verdict.Finding, error) {
	sum, n := sha256.New(), int64(0)
	if body != nil {
		var err error
		if n, err = io.Copy(sum, body); err != nil {
			return nil, x.because(unreadable(err))
		}
	}
	if err := x.stop(); err != nil {
		return nil, x.because(errHasty)
	}
	if n == x.size && x.sent == x.size && string(sum.Sum(nil)) == string(x.sum.Sum(nil)) {
		return nil, nil
	}
	return x.found(codeModified, fmt.Sprintf("%d bytes came back of %d", n, x.size)), nil
}

func (x *exchange) found(code, detail string) []verdict.Finding {
	f := verdict.Found(code)
	if x.scanner.Class != verdict.Unknown {
		f.Class = x.scanner.Class
	}
	f.Detail = remote.Excerpt(detail, maxDetail)
	return []verdict.Finding{f}
}

// infection returns what a service has found, by the fields that products name it in.
func infection(h textproto.MIMEHeader) (name string, ok bool) {
	for _, field := range []string{"X-Infection-Found", "X-Virus-Id", "X-Virus-Name", "X-Violations-Found", "X-Blocked"} {
		v := strings.TrimSpace(h.Get(field))
		switch strings.ToLower(v) {
		case "", "0", "none", "no", "clean", "no threats":
			continue
		}
		// "Type=0; Resolution=2; Threat=Eicar-Test-Signature;"
		if _, threat, ok := strings.Cut(v, "Threat="); ok {
			v, _, _ = strings.Cut(threat, ";")
		}
		return v, true
	}
	return "", false
}

// encapsulated is what an answer of status 200 has in it (RFC 3507 section 4.4.1).
type encapsulated struct {
	request, response string // first lines of the HTTP heads, "" if they are not there
	body              io.Reader
}

// open reads the HTTP heads.
func (r *response) open() (*encapsulated, error) {
	type section struct {
		name string
		at   int
	}
	var sections []section
	fields := r.header.Values("Encapsulated")
	if len(fields) != 1 {
		return nil, fmt.Errorf("%w: %d fields Encapsulated", remote.ErrAnswer, len(fields))
	}
	for item := range strings.SplitSeq(fields[0], ",") {
		name, offset, _ := strings.Cut(strings.TrimSpace(item), "=")
		at, err := strconv.ParseUint(offset, 10, 31)
		if err != nil || at > maxHeads {
			return nil, fmt.Errorf("%w: Encapsulated: %.60q", remote.ErrAnswer, fields[0])
		}
		sections = append(sections, section{name, int(at)})
	}
	var e encapsulated
	at := 0
	for i, s := range sections {
		last := i == len(sections)-1
		if s.at != at || last != strings.HasSuffix(s.name, "-body") {
			return nil, fmt.Errorf("%w: Encapsulated: %.60q", remote.ErrAnswer, fields[0])
		}
		if last {
			if !slices.Contains([]string{"req-body", "res-body", "null-body"}, s.name) {
				return nil, fmt.Errorf("%w: a %.40q", remote.ErrAnswer, s.name)
			}
			if s.name != "null-body" {
				e.body = httputil.NewChunkedReader(r.in)
			}
			return &e, nil
		}
		head := make([]byte, max(0, sections[i+1].at-s.at))
		if _, err := io.ReadFull(r.in, head); err != nil {
			return nil, unreadable(err)
		}
		at += len(head)
		line, _, ok := strings.Cut(string(head), "\r\n")
		switch {
		case !ok:
			return nil, fmt.Errorf("%w: a head without lines", remote.ErrAnswer)
		case s.name == "req-hdr":
			e.request = line
		case s.name == "res-hdr" && strings.HasPrefix(line, "HTTP/1."):
			e.response = line
		default:
			return nil, fmt.Errorf("%w: %.40q with %.40q", remote.ErrAnswer, s.name, line)
		}
	}
	return nil, fmt.Errorf("%w: nothing is encapsulated", remote.ErrAnswer)
}

// blocked says whether an HTTP answer is one of the service's own: any where a request was asked about, or one
// whose status is not the 200 that we sent.
func (e *encapsulated) blocked(reqmod bool) (line string, ok bool) {
	if e.response == "" {
		return "", false
	}
	_, rest, _ := strings.Cut(e.response, " ")
	return e.response, reqmod || !strings.HasPrefix(rest+" ", "200 ")
}
