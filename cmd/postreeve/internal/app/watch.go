package app

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	quiet  = 100 * time.Millisecond // after a change, until an editor has finished writing
	polled = 5 * time.Second        // between looks at the files, for what is not notified
)

// stamp tells versions of a file apart.
type stamp struct {
	mod  time.Time
	size int64
	gone bool
}

func stamps(files []string) map[string]stamp {
	out := make(map[string]stamp, len(files))
	for _, f := range files {
		fi, err := os.Stat(f)
		if err != nil {
			out[f] = stamp{gone: true}
			continue
		}
		out[f] = stamp{mod: fi.ModTime(), size: fi.Size()}
	}
	return out
}

// changed returns the first file that is not as it was.
func changed(was, now map[string]stamp) string {
	for f, s := range now {
		if old, ok := was[f]; !ok || old != s {
			return f
		}
	}
	return ""
}

// watch calls reload when one of files() has changed, and at each value from hup. It looks at the
// directories, since editors and orchestrators replace files instead of writing into them, and every few
// seconds at the files themselves, since not every file system tells. Files that are in seen already have
// changed if they are not as they were then.
func watch(ctx context.Context, seen map[string]stamp, files func() []string, hup <-chan os.Signal, log *slog.Logger, reload func(why string)) {
	events, closeEvents := notify(files(), log)
	defer closeEvents()
	tick := time.NewTicker(polled)
	defer tick.Stop()
	for f, s := range stamps(files()) {
		if _, ok := seen[f]; !ok {
			seen[f] = s
		}
	}
	at := make(chan struct{}) // once, for what has changed before anybody watched
	close(at)
	for {
		why := ""
		select {
		case <-at:
			at = nil
		case <-ctx.Done():
			return
		case <-hup:
			why = "SIGHUP"
		case _, ok := <-events:
			if !ok {
				events = nil
			}
			pause(ctx, events, quiet)
		case <-tick.C:
		}
		now := stamps(files())
		if f := changed(seen, now); f != "" && why == "" {
			why = f + " changed"
		}
		if why == "" || ctx.Err() != nil {
			continue
		}
		reload(why)
		seen = now
		for f, s := range stamps(files()) { // a new configuration may name new files
			if _, ok := seen[f]; !ok {
				seen[f] = s
			}
		}
	}
}

// pause waits until there was no event for so long, but not for ever.
func pause(ctx context.Context, events <-chan fsnotify.Event, d time.Duration) {
	end := time.After(10 * d)
	for {
		select {
		case _, ok := <-events:
			if !ok {
				return
			}
		case <-time.After(d):
			return
		case <-end:
			return
		case <-ctx.Done():
			return
		}
	}
}

// notify watches the directories of the files. Without it there is still the polling.
func notify(files []string, log *slog.Logger) (<-chan fsnotify.Event, func()) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		log.Debug("no notification of changed files, looking every few seconds", "error", err)
		return nil, func() {}
	}
	for _, f := range files {
		if err := w.Add(filepath.Dir(f)); err != nil {
			log.Debug("no notification of changed files in this directory", "dir", filepath.Dir(f), "error", err)
		}
	}
	events := make(chan fsnotify.Event, 1)
	go func() {
		defer close(events)
		for {
			select {
			case ev, ok := <-w.Events:
				if !ok {
					return
				}
				select {
				case events <- ev:
				default: // one that waits is enough
				}
			case _, ok := <-w.Errors:
				if !ok {
					return
				}
			}
		}
	}()
	return events, func() {
		w.Close()
		for range events { // until the goroutine has ended
		}
	}
}
