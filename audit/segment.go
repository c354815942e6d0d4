package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// Names of the files of a journal folder.
const (
	segmentSuffix   = ".seg"
	leavesSuffix    = ".leaves"
	CheckpointFile  = "checkpoint"
	CheckpointsFile = "checkpoints"
	KeyFile         = "key"
	PublicKeyFile   = "key.pub"
)

// SegmentName returns the file name of the segment that begins with record seq.
func SegmentName(seq uint64) string { return fmt.Sprintf("%016d%s", seq, segmentSuffix) }

// LeavesName returns the file name of its leaf hashes.
func LeavesName(seq uint64) string { return fmt.Sprintf("%016d%s", seq, leavesSuffix) }

// parseSegmentName is the inverse of SegmentName.
func parseSegmentName(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != 16 {
		return 0, false
	}
	var seq uint64
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return 0, false
		}
		seq = seq*10 + uint64(c-'0')
	}
	return seq, seq > 0
}

// Segments lists the first sequence numbers of a folder's segments, in order.
func Segments(fsys fs.FS) ([]uint64, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("audit: list segments: %w", err)
	}
	var firsts []uint64
	for _, e := range entries {
		if seq, ok := parseSegmentName(e.Name()); ok {
			firsts = append(firsts, seq)
		}
	}
	slices.Sort(firsts)
	return firsts, nil
}

// A SegmentHeader begins a segment.
type SegmentHeader struct {
	First   uint64 // sequence number of its first record
	Prev    Hash   // chain hash before it
	Log     [16]byte
	Created time.Time
}

// SegmentHead is the size of an encoded header; the first frame follows it.
const SegmentHead = 128

const segmentMagic = "SLUICEJ\x01"

// ErrSegment says that a segment's header is missing or damaged.
var ErrSegment = errors.New("audit: bad segment header")

// Append encodes the header.
func (h *SegmentHeader) Append(dst []byte) []byte {
	var b [SegmentHead]byte
	copy(b[:], segmentMagic)
	binary.LittleEndian.PutUint64(b[8:], h.First)
	binary.LittleEndian.PutUint64(b[16:], uint64(h.Created.UnixMicro()))
	copy(b[24:], h.Log[:])
	copy(b[40:], h.Prev[:])
	binary.LittleEndian.PutUint32(b[SegmentHead-4:], crc32.Checksum(b[:SegmentHead-4], castagnoli))
	return append(dst, b[:]...)
}

// ParseSegmentHeader is the inverse of Append. A header of zeros is ErrEnd: a
// segment that was prepared and never used.
func ParseSegmentHeader(b []byte) (SegmentHeader, error) {
	if len(b) < SegmentHead {
		return SegmentHeader{}, ErrSegment
	}
	b = b[:SegmentHead]
	if notFrame(b) == ErrEnd {
		return SegmentHeader{}, ErrEnd
	}
	if string(b[:8]) != segmentMagic || crc32.Checksum(b[:SegmentHead-4], castagnoli) != binary.LittleEndian.Uint32(b[SegmentHead-4:]) {
		return SegmentHeader{}, ErrSegment
	}
	return SegmentHeader{
		First:   binary.LittleEndian.Uint64(b[8:]),
		Created: time.UnixMicro(int64(binary.LittleEndian.Uint64(b[16:]))).UTC(),
		Log:     [16]byte(b[24:40]),
		Prev:    Hash(b[40:72]),
	}, nil
}
