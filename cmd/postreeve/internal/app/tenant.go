package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/term"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
)

// Exit codes of the commands about tenants, beside exitOK, exitFailed and exitUsage.
const (
	exitPlanned = 2 // something is to be changed, or is not as wanted, or is left for later
	exitStale   = 3 // the tenant is not as it was when the plan was made: nothing was done
)

// codesOfTenants is the end of every help.
const codesOfTenants = "Exit codes: 0 in order, 2 drift or changes planned, 3 refused because the tenant changed, 1 error, 64 wrong usage."

// outFlags say where the result goes.
type outFlags struct {
	JSON bool   `help:"Print the result as an object of JSON, and nothing else on standard output."`
	Out  string `placeholder:"FILE" help:"Write the result into this file too."`
}

// resultFlags say where the result goes and who is told of it.
type resultFlags struct {
	outFlags
	mailFlags
}

// dnsFlags say who is asked for MX records.
type dnsFlags struct {
	DNS []string `name:"dns" placeholder:"ADDRESS[:PORT]" help:"Ask these resolvers for MX records. By default those of the system."`
}

// servers are the resolvers with their ports, none for those of the system.
func (f *dnsFlags) servers(e *env) ([]string, error) {
	servers := make([]string, len(f.DNS))
	for i, s := range f.DNS {
		a, err := netip.ParseAddrPort(s)
		if ip, ierr := netip.ParseAddr(s); ierr == nil {
			a, err = netip.AddrPortFrom(ip, 53), nil
		}
		if err != nil {
			return nil, usage(e, "--dns %s is no address, as in 192.0.2.53 or 127.0.0.1:5353", s)
		}
		servers[i] = a.String()
	}
	return servers, nil
}

// lookup returns nil for the resolvers of the system.
func (f *dnsFlags) lookup(e *env) (func(context.Context, string) ([]string, error), error) {
	servers, err := f.servers(e)
	if err != nil || len(servers) == 0 {
		return nil, err
	}
	r := newResolver(servers)
	return func(ctx context.Context, domain string) ([]string, error) {
		all, err := r.LookupMX(ctx, strings.TrimSuffix(domain, ".")+".")
		if isNotFound(err) {
			return nil, nil
		}
		var out []string
		for _, mx := range all {
			out = append(out, mx.Host)
		}
		return out, err
	}, nil
}

// usage reports a command line that makes no sense.
func usage(e *env, format string, args ...any) error {
	e.err.printf("postreeve: %s\n", show(fmt.Sprintf(format, args...)))
	return exit(exitUsage)
}

// need is a flag that one way to sign in cannot do without.
type need struct{ way, flag, value string }

// needed refuses a way whose flags are not all there.
func needed(e *env, way string, all ...need) error {
	for _, n := range all {
		if n.way == way && n.value == "" {
			return usage(e, "--auth %s needs %s", way, n.flag)
		}
	}
	return nil
}

// loadProfile reads a profile and reports what is wrong with it, line by line.
func loadProfile[T any](e *env, file string, check func(*T) error) (*T, error) {
	p, err := config.LoadProfile(file, check)
	if bad, ok := errors.AsType[config.Errors](err); ok {
		e.printErrors(bad, "the profile")
		return nil, exit(exitFailed)
	}
	return p, err
}

// agree asks whether to go on, where somebody can be asked.
func agree(e *env, yes bool, question string) error {
	if yes {
		return nil
	}
	f, ok := e.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return usage(e, "nobody can be asked here: look at the plan and say --yes")
	}
	e.err.printf("%s Type yes to go on: ", show(question))
	said := make(chan string, 1)
	go func() { // reading from a terminal cannot be cut short: Ctrl-C ends the program, and this with it
		line, _ := bufio.NewReader(f).ReadString('\n')
		said <- strings.TrimSpace(line)
	}()
	select {
	case <-e.ctx.Done():
		e.err.printf("\n")
		return errors.New("interrupted, nothing was done")
	case line := <-said:
		if !strings.EqualFold(line, "yes") {
			return errors.New("not agreed to, nothing was done")
		}
		return nil
	}
}

// writeOut writes a file for its owner alone: aside, synced, and renamed. Errors name the file, whatever it is for.
func writeOut(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".postreeve-*")
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w", path, withoutPath(err))
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w", path, errors.Join(withoutPath(err), os.Remove(f.Name())))
	}
	return nil
}

// withoutPath is what went wrong with a file, without the name of one that nobody has heard of.
func withoutPath(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	if l, ok := errors.AsType[*os.LinkError](err); ok {
		return l.Err
	}
	return err
}

// writeJSON is writeOut for a value.
func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return writeOut(path, append(data, '\n'))
}

// tell writes a result where the flags say, and mails it.
func (f resultFlags) tell(e *env, v any, subject string, print func(*screen)) error {
	if err := f.give(e, v, print); err != nil {
		return err
	}
	return f.report(e, subject, print)
}

// tellVerified is tell for a report on a tenant, and the error to end with. Drift is a result; that something could not be
// read is an error.
func (f resultFlags) tellVerified(e *env, v any, subject string, ok bool, drift int, print func(*screen)) error {
	r := viewOf[reportView](v)
	word := "in order"
	if !ok || r.unknown() > 0 {
		word = inWords(drift, r)
	}
	if err := f.tell(e, v, subject+": "+word, print); err != nil {
		return err
	}
	switch {
	case ok:
		return nil
	case drift == 0 && r.probesWrong() == 0 && len(r.Unread) > 0:
		more := ""
		if n := len(r.Unread) - 1; n > 0 {
			more = fmt.Sprintf(" (and %d more)", n)
		}
		return fmt.Errorf("not everything could be read, so nobody can say that it is in order: %s%s", r.Unread[0], more)
	}
	return exit(exitPlanned)
}

// give writes a result where the flags say. For people print does it.
func (f outFlags) give(e *env, v any, print func(*screen)) error {
	if f.Out != "" {
		if err := writeJSON(f.Out, v); err != nil {
			return err
		}
	}
	if f.JSON {
		e.out.line(v)
	} else {
		print(e.out)
	}
	return e.out.failed()
}

// giveText is give for documents, which are text wherever they go. v is what they are as JSON.
func (f outFlags) giveText(e *env, text string, v any) error {
	if f.Out != "" {
		if err := writeOut(f.Out, []byte(text)); err != nil {
			return err
		}
	}
	switch {
	case f.JSON:
		e.out.line(v)
	case f.Out != "":
		e.err.printf("written to %s\n", show(f.Out))
	case e.out.tty:
		for line := range strings.Lines(text) {
			e.out.printf("%s\n", show(strings.TrimSuffix(line, "\n")))
		}
	default:
		e.out.printf("%s", text) // into a file or pipe as it is
	}
	return e.out.failed()
}

// readText reads a small file with a secret or a key in it. Errors name the file alone.
func readText(what, path string, most int64) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	if info.Size() > most {
		return "", fmt.Errorf("%s %s: larger than %d bytes", what, path, most)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	return strings.TrimSpace(string(data)), nil
}
