//go:build !unix

package execscan

import "os/exec"

// inGroup returns what kills a program. What it has started goes on running: this system knows no process groups.
func inGroup(cmd *exec.Cmd) (kill func() error) {
	return func() error { return cmd.Process.Kill() }
}
