package audit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"time"
)

// The layout of a frame, little-endian. Frames begin at multiples of
// FrameAlign; the bytes between the body's end and the next frame are zero.
//
//	 0  magic    4
//	 4  crc      4  CRC-32C of everything from offset 8 to the end of the body
//	 8  length   4  of the body
//	12  kind     1  kindEvent
//	13  flags    1  flagErased
//	14  back     2  how many frames before this one were written in the same batch
//	16  seq      8  1 for the first record of a journal
//	24  time     8  microseconds since 1970
//	32  chain   32  SHA-256(chain of the frame before || leaf)
//	64  salt    16  random, hashed with the body
//	80  body        tags and JSON
//
// An erased frame has the hash of salt and body at offset 64 and zeros after it.
const (
	frameMagic  = 0x31_4c_4a_53 // "SJL1"
	frameHead   = 80
	frameKind   = 1
	flagErased  = 1
	offCRC      = 4
	offLength   = 8
	offKind     = 12
	offFlags    = 13
	offBack     = 14
	offSeq      = 16
	offTime     = 24
	offChain    = 32
	offSalt     = 64
	saltSize    = 16
	minBody     = HashSize - saltSize // room for the hash that replaces an erased body
	maxBack     = MaxBatch - 1
	maxFrame    = frameHead + MaxBody + FrameAlign
	frameHashed = 1 + 4 + 8 + 8 // kind, length, seq, time
)

// MaxBatch is how many frames may be written at once.
const MaxBatch = 1 << 16

// FrameAlign is the size that frames are multiples of.
const FrameAlign = 8

// FrameSize returns how many bytes a record with a body of n bytes occupies.
func FrameSize(n int) int { return (frameHead + n + FrameAlign - 1) &^ (FrameAlign - 1) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// What a decoder says about bytes that are no frame.
var (
	// ErrEnd: zeros; nothing was written here.
	ErrEnd = errors.New("audit: end of records")
	// ErrFrame: something else; damaged, or half written.
	ErrFrame = errors.New("audit: bad frame")
	// errShort: the frame goes on beyond the bytes at hand.
	errShort = errors.New("audit: short frame")
)

// A Frame is one record as it lies in a segment. Its slices point into the
// buffer it was decoded from.
type Frame struct {
	Seq   uint64
	Back  int // frames of the same batch before this one
	Chain Hash
	raw   []byte // header and body, without padding
}

// AppendFrame begins a frame: everything but its place in the journal, which
// [Seal] fills in. salt must be fresh random bytes. fill appends the body.
func AppendFrame(dst []byte, at time.Time, salt *[saltSize]byte, fill func([]byte) []byte) ([]byte, error) {
	start := len(dst)
	var head [frameHead]byte
	binary.LittleEndian.PutUint32(head[:], frameMagic)
	head[offKind] = frameKind
	binary.LittleEndian.PutUint64(head[offTime:], uint64(at.UnixMicro()))
	copy(head[offSalt:], salt[:])
	dst = fill(append(dst, head[:]...))
	n := len(dst) - start - frameHead
	if n < minBody || n > MaxBody {
		return dst[:start], errors.New("audit: a record's size is out of bounds")
	}
	f := dst[start:]
	binary.LittleEndian.PutUint32(f[offLength:], uint32(n))
	// The body's hash waits in the chain's place: it is the one part of sealing
	// that many goroutines can do at once.
	h := bodyHash(f)
	copy(f[offChain:], h[:])
	for pad := FrameSize(n) - len(f); pad > 0; pad-- {
		dst = append(dst, 0)
	}
	return dst, nil
}

// Size returns the bytes that the frame at the start of b occupies. b must
// begin with a frame made by AppendFrame.
func Size(b []byte) int { return FrameSize(int(binary.LittleEndian.Uint32(b[offLength:]))) }

// Number sets the sequence number of the frame at the start of b.
func Number(b []byte, seq uint64) { binary.LittleEndian.PutUint64(b[offSeq:], seq) }

// Seal completes the frame at the start of b, made by AppendFrame and Number:
// its place in its batch, the chain and the checksum. It returns the leaf and
// the new head of the chain.
func Seal(b []byte, back int, head Hash) (leaf, chain Hash) {
	n := int(binary.LittleEndian.Uint32(b[offLength:]))
	binary.LittleEndian.PutUint16(b[offBack:], uint16(min(back, maxBack)))
	leaf = leafHash(b, (*Hash)(b[offChain:]))
	chain = Chain(head, leaf)
	copy(b[offChain:], chain[:])
	binary.LittleEndian.PutUint32(b[offCRC:], checksum(b[:frameHead+n]))
	return leaf, chain
}

func checksum(f []byte) uint32 { return crc32.Checksum(f[offLength:], castagnoli) }

// DecodeFrame reads the frame at the start of b.
func DecodeFrame(b []byte) (Frame, error) {
	if len(b) < frameHead {
		return Frame{}, errShort
	}
	if binary.LittleEndian.Uint32(b) != frameMagic {
		return Frame{}, notFrame(b[:frameHead])
	}
	n := int64(binary.LittleEndian.Uint32(b[offLength:]))
	if n < minBody || n > MaxBody {
		return Frame{}, ErrFrame
	}
	if int64(len(b)) < frameHead+n {
		return Frame{}, errShort
	}
	raw := b[: frameHead+n : frameHead+n]
	if checksum(raw) != binary.LittleEndian.Uint32(b[offCRC:]) || raw[offKind] != frameKind || raw[offFlags]&^flagErased != 0 {
		return Frame{}, ErrFrame
	}
	return Frame{
		Seq:   binary.LittleEndian.Uint64(raw[offSeq:]),
		Back:  int(binary.LittleEndian.Uint16(raw[offBack:])),
		Chain: Hash(raw[offChain:]),
		raw:   raw,
	}, nil
}

// NextFrame finds the next whole frame behind off, for those who stand before
// damage; -1: there is none.
func NextFrame(data []byte, off int) int {
	magic := binary.LittleEndian.AppendUint32(nil, frameMagic)
	for off++; off < len(data); off++ {
		at := bytes.Index(data[off:], magic)
		if at < 0 {
			return -1
		}
		off += at
		if off%FrameAlign != 0 {
			continue
		}
		if _, err := DecodeFrame(data[off:]); err == nil {
			return off
		}
	}
	return -1
}

func notFrame(head []byte) error {
	for _, c := range head {
		if c != 0 {
			return ErrFrame
		}
	}
	return ErrEnd
}

// Size returns the bytes the frame occupies, padding included.
func (f *Frame) Size() int { return FrameSize(len(f.raw) - frameHead) }

// Time returns when the record was made.
func (f *Frame) Time() time.Time {
	return time.UnixMicro(int64(binary.LittleEndian.Uint64(f.raw[offTime:]))).UTC()
}

// Erased reports whether the body was erased.
func (f *Frame) Erased() bool { return f.raw[offFlags]&flagErased != 0 }

// Leaf returns the frame's leaf hash; it is the same before and after erasure.
func (f *Frame) Leaf() Hash {
	if f.Erased() {
		return leafHash(f.raw, (*Hash)(f.raw[offSalt:]))
	}
	h := bodyHash(f.raw)
	return leafHash(f.raw, &h)
}

// JSON returns the event; nil if it was erased or is malformed.
func (f *Frame) JSON() []byte {
	if f.Erased() {
		return nil
	}
	_, _, j, err := splitBody(f.raw[frameHead:])
	if err != nil {
		return nil
	}
	return j
}

// tags returns the encoded tag lists; nil if the body was erased.
func (f *Frame) tags() (shared, own []byte) {
	if f.Erased() {
		return nil, nil
	}
	shared, own, _, _ = splitBody(f.raw[frameHead:])
	return shared, own
}

// Erase returns the frame without its body and salt, ready to be written over
// the original: same size, same leaf, same chain. What it said is gone.
func (f *Frame) Erase() []byte {
	b := make([]byte, f.Size())
	copy(b, f.raw[:offSalt])
	b[offFlags] |= flagErased
	h := bodyHash(f.raw)
	if f.Erased() {
		h = Hash(f.raw[offSalt:])
	}
	copy(b[offSalt:], h[:])
	binary.LittleEndian.PutUint32(b[offCRC:], checksum(b[:len(f.raw)]))
	return b
}
