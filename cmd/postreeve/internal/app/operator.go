package app

import "os/user"

// operator is who does something, for those who ask later: the name that was given, or the user of the system.
func operator(as string) string {
	if as != "" {
		return as
	}
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "the operator"
}
