package audit

import (
	"errors"
	"io"
)

// A Scanner reads the frames of one segment in order, through a buffer that
// grows to at most one frame beyond scanBuffer.
type Scanner struct {
	r   io.ReaderAt
	off int64  // of buf[0] in the segment
	buf []byte // read and not consumed from pos on
	pos int
	eof bool
}

// scanBuffer is how much is read at once.
const scanBuffer = 256 << 10

// NewScanner reads r from off on, which must be a frame's beginning.
func NewScanner(r io.ReaderAt, off int64) *Scanner {
	return &Scanner{r: r, off: off}
}

// Offset returns where the next frame begins.
func (s *Scanner) Offset() int64 { return s.off + int64(s.pos) }

// Next returns the next frame. It stays valid until the next call. The errors
// are ErrEnd (zeros, or the end of the file), ErrFrame (damage) and whatever
// reading returned. After an error, Next tries again at the same offset.
func (s *Scanner) Next() (Frame, error) {
	for {
		f, err := DecodeFrame(s.buf[s.pos:])
		switch {
		case err == nil:
			s.pos += min(f.Size(), len(s.buf)-s.pos)
			return f, nil
		case !errors.Is(err, errShort):
			return Frame{}, err
		case s.eof:
			return Frame{}, s.ended()
		}
		if err := s.fill(); err != nil {
			return Frame{}, err
		}
	}
}

// ended judges what is left at the end of the file.
func (s *Scanner) ended() error {
	for _, c := range s.buf[s.pos:] {
		if c != 0 {
			return ErrFrame
		}
	}
	return ErrEnd
}

// Reset forgets what was read ahead: it may have changed since.
func (s *Scanner) Reset() {
	s.off += int64(s.pos)
	s.buf, s.pos, s.eof = s.buf[:0], 0, false
}

// fill reads more behind what is not consumed yet.
func (s *Scanner) fill() error {
	rest := copy(s.buf[:cap(s.buf)], s.buf[s.pos:])
	s.off += int64(s.pos)
	s.pos = 0
	if cap(s.buf) < scanBuffer || rest > cap(s.buf)/2 {
		grown := make([]byte, rest, min(2*max(cap(s.buf), scanBuffer/2), scanBuffer+maxFrame))
		copy(grown, s.buf[:rest])
		s.buf = grown
	}
	n, err := s.r.ReadAt(s.buf[rest:cap(s.buf)], s.off+int64(rest))
	s.buf = s.buf[:rest+n]
	if errors.Is(err, io.EOF) {
		s.eof, err = true, nil
	}
	return err
}
