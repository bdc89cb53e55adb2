package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/postreeve/postreeve/verdict/mailauth"
)

type dkimKeyCmd struct {
	Out      string `arg:"" name:"file" help:"Where the private key goes. It must not exist, unless --show is given."`
	Domain   string `required:"" placeholder:"NAME" help:"In whose name messages are sealed: a domain whose DNS you can change."`
	Selector string `required:"" placeholder:"WORD" help:"Tells the keys of a domain from one another, as s2026a."`
	Kind     string `enum:"rsa,ed25519" default:"rsa" help:"rsa (2048 bits), which every verifier knows, or ed25519, whose record is short."`
	Show     bool   `help:"Print the record of a key that is there already, and make none."`
	JSON     bool   `help:"Print an object: file name type value."`
}

func (dkimKeyCmd) Help() string {
	return `Writes the private key, readable for its owner alone, and prints the TXT record that publishes the public one. A key seals (ARC, RFC 8617) once it stands in the configuration; its record has the form that DKIM signers use too.

To change keys: make the next one with another selector, publish its record, and add it to arc with from: in a few days. Keep the old record for a week after that.

Example:
  postreeve dkim-key --domain gw.example --selector s2026a /etc/postreeve/s2026a.pem
  # then, in the configuration:
  # arc: {domain: gw.example, selector: s2026a, key: /etc/postreeve/s2026a.pem}

Exit codes: 0; 1 the key could not be written or read; 64 wrong usage.`
}

// published is a record as it has to be published.
type published struct {
	File  string `json:"file"`
	Name  string `json:"name"`
	Type  string `json:"type"`
	Value string `json:"value"`
}

// Run makes a key.
func (c *dkimKeyCmd) Run(e *env) error {
	record, err := c.record()
	if err != nil {
		return err
	}
	name := c.Selector + "._domainkey." + strings.TrimSuffix(c.Domain, ".")
	if c.JSON {
		e.out.line(published{c.Out, name, "TXT", record})
		return e.out.failed()
	}
	if !c.Show {
		e.out.printf("The private key is in %s. Nobody else needs it.\n\n", show(c.Out))
	}
	e.out.printf("Make this record in the zone of %s:\n\n  type   TXT\n  name   %s\n  value  %s\n", show(c.Domain), show(name), record)
	var quoted []string
	for _, part := range mailauth.SplitTXT(record) {
		quoted = append(quoted, `"`+part+`"`)
	}
	e.out.printf("\nAs a line of a zone file (BIND, Knot, NSD, PowerDNS):\n\n  %s. 3600 IN TXT ( %s )\n", show(name), strings.Join(quoted, "\n      "))
	return e.out.failed()
}

// record returns the record of the key, which it makes if it is to.
func (c *dkimKeyCmd) record() (string, error) {
	if c.Show {
		key, err := mailauth.ReadKey(c.Out)
		if err != nil {
			return "", err
		}
		if err := (&mailauth.Sealer{Domain: c.Domain, Selector: c.Selector, Key: key}).Valid(); err != nil {
			return "", err
		}
		return mailauth.KeyRecord(key)
	}
	private, record, err := mailauth.GenerateKey(mailauth.KeyKind(c.Kind))
	if err != nil {
		return "", err
	}
	key, err := mailauth.ParseKey(private)
	if err != nil {
		return "", err
	}
	if err := (&mailauth.Sealer{Domain: c.Domain, Selector: c.Selector, Key: key}).Valid(); err != nil {
		return "", err
	}
	return record, writeKey(c.Out, private)
}

// writeKey writes a new file for its owner alone, and sees to it that it stays.
func writeKey(path string, private []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already, and may be in use: name another file, or --show its record", path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(private)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
