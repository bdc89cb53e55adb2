package store

// FrozenMount is what says whether a file may change.
func FrozenMount(info, mounts string) bool { return frozenMount(info, mounts) }
