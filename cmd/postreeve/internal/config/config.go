package config

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/postreeve/postreeve/relay"
	"github.com/postreeve/postreeve/verdict"
)

// Config is what a file says, with absent keys at their zero values. File names in it are relative to
// the directory of the file.
type Config struct {
	File string // as it was given

	Hostname   string
	Listen     []string // host:port
	State      string   // directory; empty: none
	Store      Store
	Digest     *Digest // nil: nobody is told of what is held
	Engine     string  // strict or go-smtp
	TLS        *TLS    // nil: STARTTLS is not offered
	Clients    []netip.Prefix
	Proxies    []netip.Prefix
	XClient    []netip.Prefix
	Normalize  bool
	Postmaster string
	Log        Log
	Metrics    string // host:port; empty: none
	Limits     relay.Limits
	Spool      Spool
	Timeouts   relay.Timeouts
	Headers    relay.Headers
	DNS        DNS

	Verification Verification

	Auth Auth
	ARC  []SealKey // empty: nothing is sealed

	Remediation []*Remedy `json:",omitempty"` // tenants whose delivered mail can be taken back

	Protect  Protect
	Scanners []Scanner // nil: all built-ins; empty: everything is called clean
	Scan     Scan
	Weights  map[string]Weight // by code, instead of those of the table

	Domains []*Domain // in the order of the file

	// Warnings are settings that are valid and may not be meant.
	Warnings Errors
}

// TLS is a certificate chain and its key, in PEM files.
type TLS struct{ Cert, Key string }

// Log says what is logged and how.
type Log struct {
	Level slog.Level
	JSON  bool
}

// Spool says how much mail in transit is kept in memory. Zero means the default.
type Spool struct {
	Message int64 // of one message
	Total   int64
}

// Scan has the settings of the engine.
type Scan struct {
	Timeout         time.Duration
	ScannerTimeout  time.Duration
	OnError         verdict.Class
	StopAtMalicious bool
	SpamScore       float64 // 0: the default; negative: never by score
	MaliciousScore  float64 // 0: never by score
}

// Domain is one domain whose mail is taken.
type Domain struct {
	Name     string // in lower case and ASCII; behind a dot it stands for all subdomains
	Route    Route
	Waived   bool   // false: its recipients are deferred until its ownership is proven
	Tenant   string // whose it is; never empty
	Mode     relay.Mode
	Policy   relay.Policy
	Upstream relay.Upstream
	Token    Secret

	TenantTokens []Secret `json:"-"` // where the secrets of Upstream.Proof are, which has them in its ID too

	path string // of its keys in the file
}

// Route is where the mail of a domain goes. Domains with equal routes can share connections.
type Route struct {
	Hosts   string // host:port, separated by blanks
	MX      string // host name; empty if there are Hosts
	Port    uint16 // of MX; 0: 25
	TLS     relay.TLSMode
	TLSName string // that the certificate must have; empty: the name of the host
	TLSRoot string // PEM file with the roots to trust; empty: the system's
	Private bool   // MX may lead to private addresses
	Conns   int    // at once; 0: the default
}

// maxFile is room for tens of thousands of domains, more than is quick to read: the time that the parser
// takes grows with the square of the size, 0.3 s for 5,000 domains.
const maxFile = 4 << 20

// Load reads a configuration file. What is wrong with its content is Errors.
func Load(file string) (*Config, error) {
	data, err := readFile("configuration", file, maxFile)
	if err != nil {
		return nil, err
	}
	return Parse(file, data)
}

// readFile reads a file of at most so many bytes, whole MiB. What it is for stands in errors.
func readFile(what, file string, most int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if int64(len(data)) > most {
		return nil, Errors{{File: file, Text: fmt.Sprintf("larger than %d MiB", most>>20)}}
	}
	return data, nil
}

// Parse reads the content of a configuration file. It looks at nothing but its arguments; the name of
// the file stands in errors and its directory before relative paths. The error is Errors.
func Parse(file string, data []byte) (*Config, error) {
	d := &decoder{file: file, keys: map[string]position{}, meant: map[string]bool{}}
	c := &Config{File: file, Engine: "strict"}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	body := d.parse(data)
	if body == nil && len(d.errs) == 0 {
		d.errs = append(d.errs, &Error{File: file, Text: "is empty: the least it needs is hostname, listen and domains"})
	}
	if body != nil && len(d.errs) == 0 {
		d.config(c, value{body, "", at(body)}, filepath.Dir(file))
		if _, ok := body.(ast.MapNode); ok {
			d.check(c)
		}
	}
	if len(d.errs) > 0 {
		return nil, d.errs.sorted()
	}
	c.Warnings = d.warnings.sorted()
	return c, nil
}
