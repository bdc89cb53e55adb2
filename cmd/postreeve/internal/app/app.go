package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/postreeve/postreeve/cmd/postreeve/internal/config"
)

// Exit codes that all commands share. What else a command exits with stands in its help.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 64 // EX_USAGE: the command line or the configuration is wrong, nothing was done
)

// exit is an error that ends the program with a code and has been reported already.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// env is what a command may use of the world.
type env struct {
	ctx      context.Context // ends at Ctrl-C and SIGTERM
	unhook   func()          // gives signals their usual meaning back: the next one kills
	in       io.Reader
	out, err *screen
}

type cli struct {
	Try     tryCmd     `cmd:"" help:"Send three samples through a gateway in this process and show what becomes of them."`
	Serve   serveCmd   `cmd:"" help:"Run the gateway."`
	Check   checkCmd   `cmd:"" help:"Judge a configuration and its surroundings."`
	Scan    scanCmd    `cmd:"" help:"Judge messages from files, folders, mailboxes or standard input."`
	Codes   codesCmd   `cmd:"" help:"List what scanners can find, what it weighs and why."`
	DKIMKey dkimKeyCmd `cmd:"" name:"dkim-key" help:"Make a key that seals messages, and print its DNS record."`
	Domain  domainCmd  `cmd:"" help:"Prove domains, find out where their mail goes, and move it here and back."`

	Quarantine quarantineCmd `cmd:"" help:"Look at held mail, release it or delete it."`
	Queue      queueCmd      `cmd:"" help:"Look at mail that waits for its next hop, and have it tried or dropped."`
	Message    messageCmd    `cmd:"" help:"Find messages, and have decisions explained."`
	Audit      auditCmd      `cmd:"" help:"See who did what to kept mail and domains."`

	M365    m365Cmd       `cmd:"" name:"m365" help:"Put a Microsoft 365 tenant behind the gateway and take it out again."`
	Google  gworkspaceCmd `cmd:"" name:"gworkspace" help:"Put a Google Workspace tenant behind the gateway and take it out again."`
	Other   otherCmd      `cmd:"" name:"other" help:"Put any other mail server behind the gateway and take it out again."`
	Version versionCmd    `cmd:"" help:"Print the version."`

	ShowVersion versionFlag `name:"version" help:"Print the version."`
}

const description = `An inline e-mail security gateway: takes mail by SMTP, judges it clean, spam or malicious, and hands it on, tagged, or keeps it back.

Begin with: postreeve try`

// Run does what the command line says and returns the exit code. args is without the name of the
// program. It ends early when ctx does, and at the first SIGINT or SIGTERM; the second one kills.
func Run(ctx context.Context, args []string, in io.Reader, out, errw io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	e := &env{ctx: ctx, unhook: stop, in: in, out: newScreen(out), err: newScreen(errw)}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, code := parse(args, out, errw)
	if command == nil {
		return code
	}
	return e.report(command.Run(e))
}

// parse finds the command. It is nil if there is nothing to run.
func parse(args []string, out, errw io.Writer) (command interface{ Run(*env) error }, code int) {
	done := false // by a flag such as --help
	var c cli
	parser, err := kong.New(&c,
		kong.Name("postreeve"), kong.Description(description), kong.Writers(out, errw),
		kong.Exit(func(int) { done = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 80}),
	)
	if err != nil {
		fmt.Fprintf(errw, "postreeve: %v\n", err)
		return nil, exitFailed
	}
	parsed, err := parser.Parse(args)
	switch {
	case done:
		return nil, exitOK
	case err != nil:
		what := "postreeve --help"
		var pe *kong.ParseError
		if errors.As(err, &pe) && pe.Context != nil && pe.Context.Selected() != nil {
			what = pe.Context.Selected().FullPath() + " --help"
		}
		fmt.Fprintf(errw, "postreeve: %s\nSee %s for what there is.\n", show(err.Error()), what)
		return nil, exitUsage
	}
	command, _ = parsed.Selected().Target.Addr().Interface().(interface{ Run(*env) error })
	return command, exitOK
}

// report prints an error, if it has not been, and returns the code to exit with.
func (e *env) report(err error) int {
	var code exit
	var bad config.Errors
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &bad):
		e.printErrors(bad, "the configuration")
		return exitUsage
	}
	e.err.printf("postreeve: %s\n", strings.ReplaceAll(show(err.Error()), `\n`, "\n  "))
	return exitFailed
}

// printErrors says what is wrong with a file, line by line.
func (e *env) printErrors(bad config.Errors, where string) {
	for _, b := range bad {
		e.err.printf("%s\n", show(b.Error()))
	}
	e.err.printf("postreeve: %s in %s, nothing was done\n", plural(len(bad), "error"), where)
}
