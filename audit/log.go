package audit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"sluice/access"
)

// A Position is a place in a journal: the record with this sequence number,
// and where it begins. Segment is the number that the segment's name tells.
// The zero Position is the beginning.
type Position struct {
	Segment uint64
	Offset  int64
	Seq     uint64
}

// A Record is one entry of a journal, as a reader sees it.
type Record struct {
	At     Position
	Time   time.Time
	Erased bool
	JSON   []byte // the event; nil if erased. Valid until the next record is read
	frame  Frame
}

// Event parses the record.
func (r *Record) Event() (access.Event, error) {
	if r.Erased {
		return access.Event{}, fmt.Errorf("audit: record %d was erased", r.At.Seq)
	}
	return ParseEvent(r.JSON)
}

// Leaf returns the record's leaf hash.
func (r *Record) Leaf() Hash { return r.frame.Leaf() }

// EraseFrame returns the frame that takes the record's place when it is
// erased; see [Frame.Erase].
func (r *Record) EraseFrame() []byte { return r.frame.Erase() }

// A Log reads a journal folder. It may be read while it is being written.
type Log struct {
	fsys fs.FS
	live Live
}

// Live says how far a journal that is being written may be read.
type Live interface {
	// Durable returns the last sequence number that is on disk.
	Durable() uint64
	// Wait returns when record m is durable, or with an error.
	Wait(ctx context.Context, m access.Mark) error
}

// NewLog reads the journal in fsys, whose files must implement io.ReaderAt, as
// those of os.DirFS do. With live, only durable records are read; without, all
// that are there up to the first that is not whole.
func NewLog(fsys fs.FS, live Live) *Log { return &Log{fsys, live} }

// Durable returns the last record that may be read; 0 if the log is not live.
func (l *Log) Durable() uint64 {
	if l.live == nil {
		return 0
	}
	return l.live.Durable()
}

// A Reader goes through a journal in order.
type Reader struct {
	log  *Log
	at   Position // of the next record
	file fs.File
	scan *Scanner
}

// Read returns a reader that begins at the record at from. Close it.
func (l *Log) Read(from Position) *Reader { return &Reader{log: l, at: from} }

// ReadSeq is Read for a record whose offset is not known: it goes through the
// segment that holds it.
func (l *Log) ReadSeq(ctx context.Context, seq uint64) (*Reader, error) {
	firsts, err := Segments(l.fsys)
	if err != nil {
		return nil, err
	}
	if len(firsts) == 0 {
		return l.Read(Position{}), nil
	}
	var from Position
	for _, first := range firsts {
		if first <= max(seq, 1) {
			from = Position{Segment: first, Offset: SegmentHead, Seq: first}
		}
	}
	r := l.Read(from)
	for r.at.Seq < seq {
		if _, err := r.Next(ctx); err != nil {
			r.Close()
			return nil, err
		}
	}
	return r, nil
}

// At returns where the next record begins.
func (r *Reader) At() Position { return r.at }

// Close releases the open segment. The reader may be used again.
func (r *Reader) Close() {
	if r.file != nil {
		r.file.Close()
	}
	r.file, r.scan = nil, nil
}

// Next returns the next record, or io.EOF where the journal ends for now;
// later calls may return more. Damage is an error that wraps ErrFrame.
func (r *Reader) Next(ctx context.Context) (Record, error) {
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	limit := ^uint64(0)
	if r.log.live != nil {
		limit = r.log.live.Durable()
	}
	if r.at.Seq > limit || r.at.Seq == 0 && limit == 0 {
		return Record{}, io.EOF
	}
	if r.file == nil {
		if err := r.openAt(); err != nil {
			return Record{}, err
		}
	}
	return r.next()
}

func (r *Reader) next() (Record, error) {
	for {
		f, err := r.frame()
		if err == nil {
			return r.record(f)
		}
		if !errors.Is(err, ErrEnd) {
			return Record{}, fmt.Errorf("audit: read record %d in %s at %d: %w", r.at.Seq, SegmentName(r.at.Segment), r.at.Offset, err)
		}
		if err := r.nextSegment(); err != nil {
			return Record{}, err
		}
	}
}

// frame reads the next frame of the open segment. What was read ahead may have
// been written since, so it is read again before it counts as the end.
func (r *Reader) frame() (Frame, error) {
	f, err := r.scan.Next()
	if err != nil {
		r.scan.Reset()
		f, err = r.scan.Next()
	}
	return f, err
}

func (r *Reader) record(f Frame) (Record, error) {
	if f.Seq != r.at.Seq {
		return Record{}, fmt.Errorf("audit: record %d in %s at %d says it is %d: %w",
			r.at.Seq, SegmentName(r.at.Segment), r.at.Offset, f.Seq, ErrFrame)
	}
	rec := Record{At: r.at, Time: f.Time(), Erased: f.Erased(), JSON: f.JSON(), frame: f}
	r.at.Seq++
	r.at.Offset += int64(f.Size())
	return rec, nil
}

// openAt opens the segment of r.at; the zero position finds the first.
func (r *Reader) openAt() error {
	if r.at.Segment == 0 {
		firsts, err := Segments(r.log.fsys)
		if err != nil {
			return err
		}
		if len(firsts) == 0 {
			return io.EOF
		}
		r.at = Position{Segment: firsts[0], Offset: SegmentHead, Seq: firsts[0]}
	}
	f, ra, err := openSegment(r.log.fsys, r.at.Segment)
	if err != nil {
		return err
	}
	r.file, r.scan = f, NewScanner(ra, r.at.Offset)
	return nil
}

// nextSegment moves on if the following segment begins with the next record.
func (r *Reader) nextSegment() error {
	if r.at.Seq == r.at.Segment {
		return io.EOF // nothing in this one yet
	}
	f, ra, err := openSegment(r.log.fsys, r.at.Seq)
	if errors.Is(err, fs.ErrNotExist) {
		return io.EOF
	}
	if err != nil {
		return err
	}
	r.file.Close()
	r.at.Segment, r.at.Offset = r.at.Seq, SegmentHead
	r.file, r.scan = f, NewScanner(ra, SegmentHead)
	return nil
}

func openSegment(fsys fs.FS, first uint64) (fs.File, io.ReaderAt, error) {
	f, err := fsys.Open(SegmentName(first))
	if err != nil {
		return nil, nil, fmt.Errorf("audit: open segment: %w", err)
	}
	ra, ok := f.(io.ReaderAt)
	if !ok {
		f.Close()
		return nil, nil, fmt.Errorf("audit: open segment %s: the file system has no ReadAt", SegmentName(first))
	}
	return f, ra, nil
}

// Follow calls yield with every record from r on, waiting for more, until
// yield returns false or ctx ends. The log must be live.
func (r *Reader) Follow(ctx context.Context, yield func(Record) bool) error {
	for {
		rec, err := r.Next(ctx)
		switch {
		case err == nil:
			if !yield(rec) {
				return nil
			}
			continue
		case !errors.Is(err, io.EOF) || r.log.live == nil:
			return err
		}
		if err := r.log.live.Wait(ctx, access.Mark(max(r.at.Seq, 1))); err != nil {
			return err
		}
	}
}
