package recording

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Limits of the format. Each is checked before memory is allocated.
const (
	maxHeader = 64 << 10
	maxChunk  = 4 << 20  // compressed
	maxPlain  = 16 << 20 // decompressed
	maxRef    = 64
	// MaxFrame is the most that one frame holds; writers split what is longer.
	MaxFrame = 64 << 10
	// ChunkSize is how many bytes of frames a chunk gathers before it is sealed.
	ChunkSize = 256 << 10
)

const (
	fileMagic  = "SLUICER\x01"
	chunkMagic = "SLRC"
	chunkHead  = 4 + 4 + HashSize
	// HashSize is the size of a chunk's SHA-256.
	HashSize = 32
)

// ErrFormat says that bytes are no recording, or a damaged one.
var ErrFormat = errors.New("recording: bad format")

// A Header begins a recording.
type Header struct {
	Session  string    `json:"session"`
	Subject  string    `json:"subject"` // issuer/id
	Resource string    `json:"resource"`
	Content  string    `json:"content"` // what the bytes are: "postgres-wire"
	Start    time.Time `json:"start"`   // what frames' times count from
}

// A Kind says what a frame holds.
type Kind byte

// The kinds of frame. The zero Kind is none.
const (
	Input  Kind = 1 + iota // from the client
	Output                 // to the client, as it saw it
	Note                   // from the gateway: a text for whoever watches
)

// String returns the kind's name.
func (k Kind) String() string {
	switch k {
	case Input:
		return "input"
	case Output:
		return "output"
	case Note:
		return "note"
	}
	return fmt.Sprintf("kind(%d)", byte(k))
}

// A Frame is one piece of a recording.
type Frame struct {
	At        time.Duration // since the recording's start
	Kind      Kind
	Ref       string // id of the decision it belongs to; may be empty
	Data      []byte
	Truncated int64 // bytes that were left out behind Data because of a cap
}

// AppendFrame encodes a frame. It must be within the limits.
func AppendFrame(dst []byte, f *Frame) []byte {
	dst = binary.AppendUvarint(dst, uint64(max(f.At, 0)/time.Microsecond))
	dst = append(dst, byte(f.Kind))
	dst = binary.AppendUvarint(dst, uint64(max(f.Truncated, 0)))
	dst = binary.AppendUvarint(dst, uint64(len(f.Ref)))
	dst = append(dst, f.Ref...)
	dst = binary.AppendUvarint(dst, uint64(len(f.Data)))
	return append(dst, f.Data...)
}

// decodeFrame reads the frame at the start of b. Data points into b.
func decodeFrame(b []byte) (f Frame, rest []byte, err error) {
	d := decoder{b: b}
	f.At = time.Duration(d.number(1<<50)) * time.Microsecond
	f.Kind = Kind(d.byte())
	f.Truncated = int64(d.number(1 << 62))
	f.Ref = string(d.bytes(maxRef))
	f.Data = d.bytes(MaxFrame)
	if d.bad || f.Kind < Input || f.Kind > Note {
		return Frame{}, nil, ErrFormat
	}
	return f, d.b, nil
}

// A decoder takes values off b; after the first bad one it only says so.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) number(limit uint64) uint64 {
	v, n := binary.Uvarint(d.b)
	if d.bad || n <= 0 || v > limit {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	if d.bad || len(d.b) == 0 {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) bytes(limit int) []byte {
	n := d.number(uint64(limit))
	if d.bad || n > uint64(len(d.b)) {
		d.bad = true
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

// chunkHash is what identifies a chunk: its bytes, its place, and the header of
// the recording it belongs to.
func chunkHash(header [HashSize]byte, index int, body []byte) (sum [HashSize]byte) {
	h := sha256.New()
	h.Write(header[:])
	h.Write(binary.LittleEndian.AppendUint32(nil, uint32(index)))
	h.Write(body)
	h.Sum(sum[:0])
	return sum
}

// appendHeader encodes the file's beginning.
func appendHeader(dst []byte, h *Header) ([]byte, error) {
	j, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("recording: header: %w", err)
	}
	if len(j) > maxHeader {
		return nil, fmt.Errorf("recording: header: %d bytes, limit %d", len(j), maxHeader)
	}
	dst = append(dst, fileMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(j)))
	return append(dst, j...), nil
}
