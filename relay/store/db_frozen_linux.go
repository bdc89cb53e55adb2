package store

import (
	"os"
	"slices"
	"strconv"
	"strings"
)

// local are file systems that change through their mounts on this machine alone: if the file system is read-only nobody
// writes to its files. Those of a network, and those that show the files of another one, may change all the same.
var local = []string{"bcachefs", "btrfs", "erofs", "ext2", "ext3", "ext4", "f2fs", "iso9660", "jfs", "squashfs", "tmpfs", "xfs"}

// frozen says whether it is certain that nobody can write to a file, by whatever mount.
func frozen(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := os.ReadFile("/proc/self/fdinfo/" + strconv.Itoa(int(f.Fd())))
	if err != nil {
		return false
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	return err == nil && frozenMount(string(info), string(mounts))
}

// frozenMount is frozen by what proc(5) says of an open file and of all mounts. The options of a mount are not those of its
// file system, which are the last field.
func frozenMount(info, mounts string) bool {
	id := ""
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			id = strings.TrimSpace(v)
		}
	}
	for line := range strings.Lines(mounts) {
		f := strings.Fields(line)
		kind := slices.Index(f, "-") + 1 // after fields whose number is not fixed
		if id == "" || len(f) == 0 || f[0] != id || kind == 0 || kind >= len(f)-1 {
			continue
		}
		how, _, _ := strings.Cut(f[len(f)-1], ",")
		return how == "ro" && slices.Contains(local, f[kind])
	}
	return false
}
