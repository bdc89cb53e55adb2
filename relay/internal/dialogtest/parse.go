package dialogtest

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Dialog is a parsed dialog.
type Dialog struct {
	// ClassOnly compares replies by their class alone, the first digit: for engines with words of their own.
	ClassOnly bool
	Settings  map[string]string // from lines with @
	steps     []step
	messages  []string // from lines with M
}

// step is one thing to do.
type step struct {
	line  int
	kind  byte // C send, S expect a prefix, ~ expect a match, - do
	text  string
	times int
	match *regexp.Regexp
	wait  time.Duration
}

// Parse reads a dialog. Each line is one of these; empty lines and those that begin with # say nothing:
//
//	@ key value     how the server has to be set up; what keys there are is up to the engine's test
//	C: octets       sent as they stand there, with \r \n \t \0 \\ \xNN for what cannot be written; nothing
//	                is added, not even CRLF; lines with C that follow each other are sent in one write
//	C*50: octets    the same 50 times
//	S: text         the next reply begins with the text, or the last line of it does
//	S*50: text      the next 50 replies do
//	S~ regexp       the next reply matches; its lines are separated by \n, ^ and $ stand for each
//	M: message      what a Recorder has to have at the end, see Message; every message, in order
//	-- tls          go over to TLS as a client
//	-- eof          the server has closed the connection
//	-- close        close the connection
//	-- half         close the sending side
//	-- wait 5m      let time pass
//	-- connect      begin a new connection
//	-- bytes        from here on send byte by byte
func Parse(text string) (*Dialog, error) {
	d := &Dialog{Settings: make(map[string]string)}
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSuffix(line, "\r")
		if strings.TrimSpace(line) == "" || line[0] == '#' {
			continue
		}
		if err := d.parse(i+1, line); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return d, nil
}

func (d *Dialog) parse(n int, line string) error {
	head, rest, _ := strings.Cut(line, " ")
	st := step{line: n, times: 1, text: rest}
	switch {
	case head == "@":
		key, value, _ := strings.Cut(rest, " ")
		d.Settings[key] = value
		return nil
	case head == "M:":
		d.messages = append(d.messages, rest)
		return nil
	case head == "--":
		st.kind = '-'
		return d.action(st)
	case head == "S~":
		m, err := regexp.Compile("(?m)" + rest)
		if err != nil {
			return err
		}
		st.kind, st.match = '~', m
	case strings.HasSuffix(head, ":") && (head[0] == 'C' || head[0] == 'S'):
		st.kind = head[0]
		if times := head[1 : len(head)-1]; times != "" {
			n, err := strconv.Atoi(strings.TrimPrefix(times, "*"))
			if err != nil || times[0] != '*' || n < 1 {
				return fmt.Errorf("malformed %q", head)
			}
			st.times = n
		}
		if st.kind == 'C' {
			text, err := Unescape(rest)
			if err != nil {
				return err
			}
			st.text = text
		}
	default:
		return fmt.Errorf("unknown line %q", line)
	}
	d.steps = append(d.steps, st)
	return nil
}

func (d *Dialog) action(st step) error {
	word, arg, _ := strings.Cut(st.text, " ")
	switch word {
	case "tls", "eof", "close", "half", "connect", "bytes":
		if arg != "" {
			return fmt.Errorf("%s takes no argument", word)
		}
	case "wait":
		var err error
		if st.wait, err = time.ParseDuration(arg); err != nil {
			return err
		}
	default:
		return fmt.Errorf("unknown step %q", word)
	}
	st.text = word
	d.steps = append(d.steps, st)
	return nil
}
