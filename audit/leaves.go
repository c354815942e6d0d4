package audit

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

const leavesMagic = "SLUICEL\x01"

// AppendLeavesHeader encodes the beginning of a leaves file: the sequence
// number of its first leaf and the edge of the tree before it, so that the tree
// can be continued without the segments before. The leaves follow, 32 bytes each.
func AppendLeavesHeader(dst []byte, first uint64, edge []Hash) []byte {
	dst = append(dst, leavesMagic...)
	dst = binary.LittleEndian.AppendUint64(dst, first)
	return appendHashes(dst, edge)
}

// AppendLeaves encodes leaves.
func AppendLeaves(dst []byte, leaves []Hash) []byte { return appendHashes(dst, leaves) }

func appendHashes(dst []byte, hashes []Hash) []byte {
	for i := range hashes {
		dst = append(dst, hashes[i][:]...)
	}
	return dst
}

// ParseLeaves takes a leaves file apart: the tree before its first leaf, and
// the leaves. A leaf cut off at the end is left out.
func ParseLeaves(b []byte) (*Tree, []Hash, error) {
	if len(b) < 16 || string(b[:8]) != leavesMagic {
		return nil, nil, errors.New("audit: bad leaves file")
	}
	first := binary.LittleEndian.Uint64(b[8:])
	if first == 0 {
		return nil, nil, errors.New("audit: bad leaves file")
	}
	n := bits.OnesCount64(first - 1)
	hashes := make([]Hash, (len(b)-16)/HashSize)
	for i := range hashes {
		copy(hashes[i][:], b[16+i*HashSize:])
	}
	if len(hashes) < n {
		return nil, nil, errors.New("audit: bad leaves file")
	}
	tree, ok := RestoreTree(first-1, hashes[:n])
	if !ok {
		return nil, nil, errors.New("audit: bad leaves file")
	}
	return tree, hashes[n:], nil
}
