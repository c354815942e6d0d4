package mask

import "hash/maphash"

// A memo remembers the hashes of some values, since columns of keys and of
// categories hold the same ones over and over. It gives up where values do not come
// again.
type memo struct {
	seed    maphash.Seed
	texts   []remembered
	numbers []permuted

	tries, hits int
	off         bool
}

const (
	memoUntil = 1 << 12 // values within which it must have helped with every eighth
	memoSlots = 1 << 8  // of texts, and of numbers
	memoText  = 47      // the longest text
)

// A remembered is a text and its hash.
type remembered struct {
	text [memoText]byte
	n    uint8 // its length and one; 0: none
	sum  [hashSize]byte
}

// A permuted is a number and its image.
type permuted struct {
	n, image int64
	set      bool
}

// worth counts a value and reports whether to look for it.
func (m *memo) worth() bool {
	if m.off {
		return false
	}
	if m.tries++; m.tries == memoUntil {
		if m.hits < memoUntil/8 {
			*m = memo{off: true}
			return false
		}
		m.tries, m.hits = 0, 0
	}
	return true
}

// text returns the one place where a text can be; nil: nowhere.
func (m *memo) text(value []byte) *remembered {
	if len(value) > memoText || !m.worth() {
		return nil
	}
	if m.texts == nil {
		m.seed, m.texts = maphash.MakeSeed(), make([]remembered, memoSlots)
	}
	return &m.texts[maphash.Bytes(m.seed, value)%memoSlots]
}

func (r *remembered) is(value []byte) bool {
	return r.n == uint8(len(value)+1) && string(r.text[:len(value)]) == string(value)
}

func (r *remembered) keep(value []byte, sum [hashSize]byte) {
	copy(r.text[:], value)
	r.n, r.sum = uint8(len(value)+1), sum
}

// number returns the one place where a number can be; nil: nowhere.
func (m *memo) number(n int64) *permuted {
	if !m.worth() {
		return nil
	}
	if m.numbers == nil {
		m.numbers = make([]permuted, memoSlots)
	}
	const golden = 0x9e3779b97f4a7c15 // Fibonacci hashing (Knuth, volume 3, 6.4)
	return &m.numbers[uint64(n)*golden>>56]
}
