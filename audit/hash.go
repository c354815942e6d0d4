package audit

import (
	"crypto/sha256"
	"math/bits"
)

// HashSize is the size of every hash in the journal: SHA-256.
const HashSize = sha256.Size

// A Hash is a SHA-256.
type Hash [HashSize]byte

// bodyHash hashes a frame's salt and body. The salt keeps an erased body from
// being guessed.
func bodyHash(frame []byte) Hash { return sha256.Sum256(frame[offSalt:]) }

// leafHash is RFC 6962's leaf hash (section 2.1) over what must not change
// about a record: kind, length, sequence number, time and the body's hash. 54
// bytes: one block.
func leafHash(frame []byte, body *Hash) Hash {
	var b [1 + frameHashed + HashSize]byte
	n := 1
	b[n] = frame[offKind]
	n++
	n += copy(b[n:], frame[offLength:offLength+4])
	n += copy(b[n:], frame[offSeq:offSeq+16])
	copy(b[n:], body[:])
	return sha256.Sum256(b[:])
}

// Chain continues the chain: SHA-256(prev || leaf).
func Chain(prev, leaf Hash) Hash {
	var b [2 * HashSize]byte
	copy(b[:], prev[:])
	copy(b[HashSize:], leaf[:])
	return sha256.Sum256(b[:])
}

// nodeHash is RFC 6962's interior hash.
func nodeHash(left, right Hash) Hash {
	var b [1 + 2*HashSize]byte
	b[0] = 1
	copy(b[1:], left[:])
	copy(b[1+HashSize:], right[:])
	return sha256.Sum256(b[:])
}

// A Tree is the right edge of an RFC 6962 tree: enough to add leaves and to
// know the root, in space for the logarithm of its size. The zero Tree is empty.
type Tree struct {
	size uint64
	edge [64]Hash // edge[i] is the root of the perfect subtree of 2^i leaves, if bit i of size is set
}

// Add appends a leaf.
func (t *Tree) Add(leaf Hash) {
	level := 0
	for ; t.size>>level&1 == 1; level++ {
		leaf = nodeHash(t.edge[level], leaf)
	}
	t.edge[level] = leaf
	t.size++
}

// Size returns how many leaves there are.
func (t *Tree) Size() uint64 { return t.size }

// Root returns the tree's root hash.
func (t *Tree) Root() Hash {
	if t.size == 0 {
		return sha256.Sum256(nil)
	}
	level := bits.TrailingZeros64(t.size)
	root := t.edge[level]
	for level++; level < bits.Len64(t.size); level++ {
		if t.size>>level&1 == 1 {
			root = nodeHash(t.edge[level], root)
		}
	}
	return root
}

// Edge returns the subtrees' roots, largest first; with Size it is the tree.
func (t *Tree) Edge() []Hash {
	var edge []Hash
	for level := bits.Len64(t.size) - 1; level >= 0; level-- {
		if t.size>>level&1 == 1 {
			edge = append(edge, t.edge[level])
		}
	}
	return edge
}

// RestoreTree is the inverse of Size and Edge; it reports whether they fit.
func RestoreTree(size uint64, edge []Hash) (*Tree, bool) {
	if bits.OnesCount64(size) != len(edge) {
		return nil, false
	}
	t := &Tree{size: size}
	for level := bits.Len64(size) - 1; level >= 0; level-- {
		if size>>level&1 == 1 {
			t.edge[level], edge = edge[0], edge[1:]
		}
	}
	return t, true
}
