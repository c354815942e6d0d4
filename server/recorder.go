package server

import (
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"sluice/access"
	"sluice/api"
	"sluice/config"
	"sluice/internal/uuid7"
	"sluice/pipeline"
	"sluice/protocol/postgres"
	"sluice/recording"
	"sluice/recording/file"
)

// postgresContent names what a PostgreSQL session's recording holds: texts in,
// the server's messages out.
const postgresContent = "postgres-wire"

// A recorder gives protocols their recordings and the journal their hashes.
type recorder struct {
	store   *file.Store
	config  func() *config.Config
	journal pipeline.Journal
	now     func() time.Time
	log     *slog.Logger
}

// open opens the folder of recordings.
func (r *recorder) open(folder string, c config.Recording) (err error) {
	r.store, err = file.Open(file.Options{Dir: folder, MaxResult: int64(c.MaxResult), MaxSession: int64(c.MaxSession), Now: r.now,
		Sealed: r.sealed, Failed: r.failed})
	return err
}

// sealed puts a chunk's hash into the journal: that makes it evidence.
func (r *recorder) sealed(h recording.Header, name string, c recording.Chunk) {
	e := r.event(access.RecordingChunk, h)
	e.Extra = map[string]any{"file": filepath.Base(name), "index": c.Index, "offset": c.Offset, "size": c.Size, "sha256": hex.EncodeToString(c.Hash[:])}
	r.append(e)
}

// failed says that content is missing, in the journal and in the log.
func (r *recorder) failed(h recording.Header, name string, err error) {
	r.log.Error("recording failed", "session", h.Session, "error", err)
	e := r.event(access.RecordingFailed, h)
	e.Message = err.Error()
	e.Extra = map[string]any{"file": filepath.Base(name)}
	r.append(e)
}

func (r *recorder) event(t access.EventType, h recording.Header) *access.Event {
	now := r.now().UTC()
	issuer, id, _ := strings.Cut(h.Subject, "/")
	return &access.Event{ID: uuid7.New(now), Time: now, Type: t, Session: h.Session,
		Subject: &access.Subject{Issuer: issuer, ID: id}, Resource: &access.Resource{Name: h.Resource, Protocol: "postgres"}}
}

// append does not wait: a poisoned journal shows in readiness, and nothing is
// forwarded any more.
func (r *recorder) append(e *access.Event) {
	if _, err := r.journal.Append(e); err != nil {
		r.log.Error("recording: journal", "event", e.Type, "error", err)
	}
}

// Begin implements postgres.Recorder.
func (r *recorder) Begin(session string, subject access.Subject, res access.Resource) (postgres.Recording, error) {
	if r.config().Gateway.Recording.Off {
		return nil, nil
	}
	s, err := r.store.Session(recording.Header{Session: session, Subject: subject.Issuer + "/" + subject.ID, Resource: res.Name, Content: postgresContent})
	if err != nil {
		return nil, err
	}
	return &sessionRecording{s: s}, nil
}

// A sessionRecording remembers which decision was typed last: what comes back
// without saying which it answers belongs to that one.
type sessionRecording struct {
	s    *file.Session
	last atomic.Pointer[string]
}

func (r *sessionRecording) Input(ref, text string) {
	r.last.Store(&ref)
	r.s.Input(ref, []byte(text))
}

func (r *sessionRecording) Output(ref string, p []byte) {
	if last := r.last.Load(); ref == "" && last != nil {
		ref = *last
	}
	r.s.Output(ref, p)
}

func (r *sessionRecording) Close() { _ = r.s.Close() } // the store reports failures

// read opens a recording for whoever may see it.
func (r *recorder) read(id string) (io.ReadCloser, error) {
	path, err := r.store.Path(id)
	if err != nil {
		return nil, api.ErrNotFound
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, api.ErrNotFound
	}
	return f, err
}

// has reports whether anything of a session was recorded.
func (r *recorder) has(id string) bool {
	path, err := r.store.Path(id)
	if err != nil {
		return false
	}
	_, err = os.Stat(path)
	return err == nil
}
