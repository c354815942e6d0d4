package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"sluice/protocol/postgres/transcript"
	"sluice/recording"
)

// A player renders one protocol's content.
type player interface {
	Input(text string) error
	Output(p []byte) error
	Note(text string) error
	Gap(bytes int64) error
}

// longestPause is what a pause of the recording is cut to: nobody watches
// somebody's lunch.
const longestPause = 3 * time.Second

// Play prints a recording as text. speed 1 is as it happened, 0 at once.
func Play(ctx context.Context, w io.Writer, content io.Reader, speed float64) error {
	r, err := recording.NewReader(content)
	if err != nil {
		return err
	}
	defer r.Close()
	p, err := playerFor(r.Header.Content, w)
	if err != nil {
		return err
	}
	h := r.Header
	fmt.Fprintf(w, "session %s of %s at %s, %s\n", h.Session, h.Subject, h.Resource, h.Start.UTC().Format(time.RFC3339))
	var last time.Duration
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return p.Note("the recording breaks off here")
		}
		if err != nil {
			return err
		}
		if err := pause(ctx, f.At-last, speed); err != nil {
			return err
		}
		last = f.At
		if err := playFrame(p, &f); err != nil {
			return err
		}
	}
}

func playerFor(content string, w io.Writer) (player, error) {
	if content == postgresContent {
		return transcript.New(w), nil
	}
	return nil, fmt.Errorf("server: a recording of %q cannot be played by this version", content)
}

func pause(ctx context.Context, d time.Duration, speed float64) error {
	if speed <= 0 || d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(min(time.Duration(float64(d)/speed), longestPause))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func playFrame(p player, f *recording.Frame) error {
	err := playData(p, f)
	if err == nil && f.Truncated > 0 {
		err = p.Gap(f.Truncated)
	}
	return err
}

func playData(p player, f *recording.Frame) error {
	switch f.Kind {
	case recording.Input:
		return p.Input(string(f.Data))
	case recording.Output:
		return p.Output(f.Data)
	case recording.Note:
		return p.Note(string(f.Data))
	}
	return fmt.Errorf("server: a frame of kind %s", f.Kind)
}
