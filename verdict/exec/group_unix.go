//go:build unix

package execscan

import (
	"os"
	"os/exec"
	"syscall"
)

// inGroup puts a program into a process group of its own, and returns what kills all of that.
func inGroup(cmd *exec.Cmd) (kill func() error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return func() error {
		switch err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL); err {
		case nil:
			return nil
		case syscall.ESRCH:
			return os.ErrProcessDone
		}
		return cmd.Process.Kill()
	}
}
