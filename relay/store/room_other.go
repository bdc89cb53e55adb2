//go:build !(linux || darwin || freebsd)

package store

// freeBytes is not known here.
func freeBytes(string) (int64, bool) { return 0, false }

// readOnlyDisk is not known here.
func readOnlyDisk(string) bool { return false }
