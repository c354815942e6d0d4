package config

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"time"

	"sluice/internal/strictyaml"
)

// A Watcher notices changes of the files behind a configuration. It is for one
// goroutine.
type Watcher struct {
	path  string
	files []string // that the last good configuration depends on
	stats string   // cheap: names, sizes, times
	sum   [sha256.Size]byte
}

// NewWatcher watches the files of c, which was loaded from path.
func NewWatcher(path string, c *Config) *Watcher {
	w := &Watcher{path: path, files: c.Files}
	w.stats, w.sum = w.look(), hash(w.all())
	return w
}

// Check loads the configuration again if a file changed, came or went since the
// last time. changed is false if there is nothing new. Otherwise there is
// either a configuration or problems.
func (w *Watcher) Check() (c *Config, problems []strictyaml.Problem, changed bool) {
	stats := w.look()
	if stats == w.stats {
		return nil, nil, false
	}
	w.stats = stats
	files := w.all()
	sum := hash(files) // before the load: what is written during it is noticed next time
	if sum == w.sum {
		return nil, nil, false
	}
	w.sum = sum
	c, problems = Load(w.path)
	if c != nil {
		w.adopt(c.Files, files, sum)
	}
	return c, problems, true
}

// adopt goes over to the files of a new configuration. If those it was loaded
// from changed meanwhile, the next Check loads again.
func (w *Watcher) adopt(files, loaded []string, sum [sha256.Size]byte) {
	w.files = files
	w.stats, w.sum = "", hash(w.all())
	if hash(loaded) != sum {
		w.sum = [sha256.Size]byte{}
	}
}

// all lists what to look at: what the path holds now, and what the last good
// configuration needed.
func (w *Watcher) all() []string {
	seen := map[string]bool{}
	var files []string
	now, _ := strictyaml.Files(w.path) // an error shows as an empty list, which is a change
	for _, f := range append(now, w.files...) {
		if !seen[f] {
			seen[f] = true
			files = append(files, f)
		}
	}
	return files
}

func (w *Watcher) look() string {
	h := sha256.New()
	for _, f := range w.all() {
		if info, err := os.Stat(f); err == nil {
			fmt.Fprintf(h, "%q %d %d\n", f, info.Size(), info.ModTime().UnixNano())
		} else {
			fmt.Fprintf(h, "%q missing\n", f)
		}
	}
	return string(h.Sum(nil))
}

func hash(files []string) [sha256.Size]byte {
	h := sha256.New()
	for _, name := range files {
		fmt.Fprintf(h, "%q ", name)
		if f, err := os.Open(name); err == nil {
			_, err := io.Copy(h, io.LimitReader(f, strictyaml.MaxFile+1))
			fmt.Fprintf(h, " %v\n", err)
			f.Close()
		}
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// Watch checks every interval until ctx ends and calls back with each new
// configuration or the problems that keep it from being one; exactly one is nil.
func (w *Watcher) Watch(ctx context.Context, interval time.Duration, changed func(*Config, []strictyaml.Problem)) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if c, problems, ok := w.Check(); ok {
				changed(c, problems)
			}
		}
	}
}
