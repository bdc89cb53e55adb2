package m365

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// The files of a journal directory. All of them are for their owner only.
const (
	journalFile  = "journal.jsonl"
	snapshotFile = "snapshot.json"
	planFile     = "plan.json"
	lockFile     = "lock"
	maxJournal   = 64 << 20
)

// A record is one line of the journal. Secrets of the loop are placeholders in it.
type record struct {
	At        time.Time `json:"at"`
	What      what      `json:"what"`
	Tenant    string    `json:"tenant,omitempty"` // GUID of the organization
	Plan      string    `json:"plan,omitempty"`
	Direction string    `json:"direction,omitempty"`

	Step    string          `json:"step,omitempty"`
	Setting string          `json:"setting,omitempty"`
	Kind    kind            `json:"kind,omitempty"`
	Object  string          `json:"object,omitempty"`
	Cmdlet  string          `json:"cmdlet,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Values  map[string]any  `json:"values,omitempty"` // single values that are written
	Before  map[string]any  `json:"before,omitempty"` // what they were
	Adds    []string        `json:"adds,omitempty"`   // members of a shared list that become ours
	Drops   []string        `json:"drops,omitempty"`  // and that cease to be
	Guid    string          `json:"guid,omitempty"`
	Note    string          `json:"note,omitempty"`
	Error   string          `json:"error,omitempty"`
	Request string          `json:"request,omitempty"`
}

// what happened, of a record.
type what string

const (
	whatBegin  what = "begin"  // a plan is being applied
	whatWrite  what = "write"  // a write is about to be made
	whatWrote  what = "wrote"  // the service took it
	whatFailed what = "failed" // the service refused it: nothing changed
	whatStands what = "stands" // a setting was read back as wanted
	whatUndone what = "undone" // nothing of ours is left of a setting
	whatWide   what = "wide"   // the service keeps addresses of spoof pairs as their /24
	whatEnd    what = "end"    // the plan is done
	whatClosed what = "closed" // nothing of ours is left in the tenant
)

// secrets are the values of the loop header that are accepted, the one in force first.
type secrets struct {
	Tokens []string `json:"tokens"`
}

var tokenForm = regexp.MustCompile(`^[A-Za-z0-9]{16,128}$`)

// A journal is an open journal directory, held by one process.
type journal struct {
	dir    string
	file   *os.File
	unlock func() error
	hide   *strings.Replacer
	broken error // of the first record that did not get to disk: nothing may follow it
}

// openJournal makes the directory if it is not there, locks it and opens the log for appending.
func openJournal(dir string, s secrets) (*journal, error) {
	if dir == "" {
		return nil, errors.New("m365: no journal directory: what is changed must be written down first")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("m365: journal: %w", err)
	}
	unlock, err := lockDir(filepath.Join(dir, lockFile))
	if err != nil {
		return nil, fmt.Errorf("m365: journal %s: %w", dir, err)
	}
	f, err := os.OpenFile(filepath.Join(dir, journalFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = cutTornLine(f)
	}
	if err == nil {
		err = errors.Join(syncDir(dir), syncDir(filepath.Dir(filepath.Clean(dir))))
	}
	if err != nil {
		if f != nil {
			f.Close()
		}
		return nil, errors.Join(fmt.Errorf("m365: journal: %w", err), unlock())
	}
	return &journal{dir: dir, file: f, unlock: unlock, hide: s.hider()}, nil
}

// hider replaces the secrets in whatever is written or shown.
func (s secrets) hider() *strings.Replacer {
	var pairs []string
	for _, t := range s.Tokens {
		if t != "" {
			pairs = append(pairs, t, shownSecret)
		}
	}
	return strings.NewReplacer(pairs...)
}

// cutTornLine drops what a crash left of the last record, and leaves the file ready to append.
func cutTornLine(f *os.File) error {
	raw, err := io.ReadAll(io.LimitReader(f, maxJournal+1))
	if err != nil {
		return err
	}
	if len(raw) > maxJournal {
		return fmt.Errorf("%s is larger than %d MiB", f.Name(), maxJournal>>20)
	}
	whole := bytes.LastIndexByte(raw, '\n') + 1
	if whole < len(raw) {
		if err := f.Truncate(int64(whole)); err != nil {
			return err
		}
	}
	_, err = f.Seek(int64(whole), io.SeekStart)
	return err
}

// append writes one record and returns when it is on disk.
func (j *journal) append(r record) error {
	if j.file == nil {
		return nil // taking out what has no journal
	}
	if j.broken != nil {
		return j.broken
	}
	r.At = time.Now().UTC()
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("m365: journal: %w", err)
	}
	line = append([]byte(j.hide.Replace(string(line))), '\n')
	_, err = j.file.Write(line)
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil { // part of the line may stand there: the next run cuts it off
		j.broken = fmt.Errorf("m365: journal: %w", err)
	}
	return j.broken
}

func (j *journal) close() error {
	if j.file == nil {
		return nil
	}
	return errors.Join(j.file.Close(), j.unlock())
}

// put writes a file of the directory as a whole: aside, synced, renamed, the directory synced.
func (j *journal) put(name string, v any) error {
	if j.file == nil {
		return nil
	}
	raw, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("m365: journal: %s: %w", name, err)
	}
	if name != secretOfFile {
		raw = []byte(j.hide.Replace(string(raw)))
	}
	return writeFile(filepath.Join(j.dir, name), append(raw, '\n'))
}

func writeFile(path string, raw []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return fmt.Errorf("m365: journal: %w", err)
	}
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("m365: journal: %w", errors.Join(err, os.Remove(f.Name())))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readRecords reads the log. A last line without its end is what a crash leaves, and does not count.
func readRecords(dir string) ([]record, error) {
	raw, err := readCapped(filepath.Join(dir, journalFile), maxJournal)
	if errors.Is(err, fs.ErrNotExist) || dir == "" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("m365: journal: %w", err)
	}
	var out []record
	n := 0
	for line := range bytes.Lines(raw) {
		n++
		if line[len(line)-1] != '\n' {
			break
		}
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, fmt.Errorf("m365: journal %s, line %d: %w: restore the file from a copy, or take the tenant apart with what its marks say by moving the directory away", filepath.Join(dir, journalFile), n, err)
		}
		out = append(out, r)
	}
	return out, nil
}

func readCapped(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(raw)) > most {
		err = fmt.Errorf("%s is larger than %d bytes", path, most)
	}
	return raw, err
}

// readSecrets reads the secrets of the loop. None is no error.
func readSecrets(dir string) (secrets, error) {
	var s secrets
	raw, err := readCapped(filepath.Join(dir, secretOfFile), 1<<16)
	if errors.Is(err, fs.ErrNotExist) || dir == "" {
		return s, nil
	}
	if err == nil {
		err = strictJSON(raw, &s)
	}
	for _, t := range s.Tokens {
		if !tokenForm.MatchString(t) {
			err = cmp.Or(err, errors.New("a secret is 16 to 128 letters and digits"))
		}
	}
	if err != nil {
		return secrets{}, fmt.Errorf("m365: journal: %s: %w", secretOfFile, err)
	}
	return s, nil
}
