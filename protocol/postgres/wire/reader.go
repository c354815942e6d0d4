package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// HeaderLen is the length of a message's type byte and length word.
const HeaderLen = 5

// Limits on messages, as the server has them (libpq/libpq.h).
const (
	SmallLimit = 10_000    // PQ_SMALL_MESSAGE_LIMIT
	LargeLimit = 1<<30 - 2 // PQ_LARGE_MESSAGE_LIMIT, MaxAllocSize - 1
)

// ErrTooLong is returned for a message that announces more than its limit.
var ErrTooLong = errors.New("wire: message too long")

// A Reader reads messages from a stream into one buffer. Not safe for
// concurrent use.
type Reader struct {
	src  io.Reader
	buf  []byte
	r, w int
	// Limit returns the largest body allowed for a type, in bytes; nil: LargeLimit.
	Limit func(typ byte) int
}

// NewReader returns a Reader with a buffer of size bytes that already holds
// what was read before.
func NewReader(src io.Reader, size int, before []byte) *Reader {
	r := &Reader{src: src, buf: make([]byte, max(size, len(before), 64))}
	r.w = copy(r.buf, before)
	return r
}

// SetSource replaces the stream and keeps what is buffered.
func (r *Reader) SetSource(src io.Reader) { r.src = src }

// Buffered returns how many bytes are read and not yet taken.
func (r *Reader) Buffered() int { return r.w - r.r }

// Header returns the type and the total length of the next message. ok is
// false if the header is not buffered yet. A length that no message can have,
// or over the limit, is an error.
func (r *Reader) Header() (typ byte, size int, ok bool, err error) {
	if r.w-r.r < HeaderLen {
		return 0, 0, false, nil
	}
	typ = r.buf[r.r]
	n := binary.BigEndian.Uint32(r.buf[r.r+1:])
	limit := LargeLimit
	if r.Limit != nil {
		limit = r.Limit(typ)
	}
	if n < 4 || uint64(n) > uint64(limit)+4 {
		return typ, 0, false, fmt.Errorf("%w: type %q announces %d bytes", ErrTooLong, typ, n)
	}
	return typ, int(n) + 1, true, nil
}

// Take returns the next n buffered bytes and moves past them; n must not
// exceed Buffered.
func (r *Reader) Take(n int) []byte {
	b := r.buf[r.r : r.r+n : r.r+n]
	r.r += n
	return b
}

// Peek returns the next n buffered bytes without moving; n must not exceed
// Buffered.
func (r *Reader) Peek(n int) []byte { return r.buf[r.r : r.r+n : r.r+n] }

// Pos is where the next message begins, for [Reader.Since]. It changes meaning
// with every Fill, Append and Shrink.
func (r *Reader) Pos() int { return r.r }

// Since returns what was taken since Pos was mark.
func (r *Reader) Since(mark int) []byte { return r.buf[mark:r.r:r.r] }

// Whole reports whether the next size bytes are buffered.
func (r *Reader) Whole(size int) bool { return r.w-r.r >= size }

// Cap returns how large a message fits the buffer without growing it.
func (r *Reader) Cap() int { return len(r.buf) }

// Fill reads once. It grows the buffer only when it is full, by doubling what
// has really arrived, so that a length alone allocates nothing.
func (r *Reader) Fill() error {
	r.room()
	for range 100 {
		n, err := r.src.Read(r.buf[r.w:])
		r.w += n
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

func (r *Reader) room() {
	if r.r == r.w {
		r.r, r.w = 0, 0
	}
	if r.w < len(r.buf) {
		return
	}
	if r.r > 0 {
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
		return
	}
	bigger := make([]byte, 2*len(r.buf))
	r.w = copy(bigger, r.buf[:r.w])
	r.buf = bigger
}

// Shrink gives a grown buffer back once it is empty.
func (r *Reader) Shrink(size int) {
	if r.r == r.w && len(r.buf) > size {
		r.buf, r.r, r.w = make([]byte, size), 0, 0
	}
}

// Append adds bytes that were read elsewhere behind what is buffered.
func (r *Reader) Append(b []byte) {
	if r.r > 0 {
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	}
	if need := r.w + len(b); need > len(r.buf) {
		bigger := make([]byte, max(need, 2*len(r.buf)))
		copy(bigger, r.buf[:r.w])
		r.buf = bigger
	}
	r.w += copy(r.buf[r.w:], b)
}

// Next returns the next whole message with its header, reading as needed.
func (r *Reader) Next() (typ byte, msg []byte, err error) {
	for {
		typ, size, ok, err := r.Header()
		if err != nil {
			return typ, nil, err
		}
		if ok && r.Whole(size) {
			return typ, r.Take(size), nil
		}
		if err := r.Fill(); err != nil {
			if err == io.EOF && r.Buffered() > 0 {
				err = io.ErrUnexpectedEOF
			}
			return 0, nil, err
		}
	}
}

// ClientLimit is the server's limit for each message of a client
// (postgres.c, SocketBackend).
func ClientLimit(typ byte) int {
	switch typ {
	case 'Q', 'P', 'B', 'F', 'd':
		return LargeLimit
	}
	return SmallLimit
}
