package mask

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"sync"

	"sluice/access"
)

// keyed computes hash: a keyed function under which equal values have equal
// images, so that masked columns of different tables still join, and nothing
// else can be learnt without the key.
//
// Texts go through HMAC-SHA-256, cut to 128 bits. Integers go through a keyed
// permutation, because a hash cut to 31 bits would make strangers equal after
// some ten thousand rows: different integers stay different, and an int2, int4,
// int8 or numeric of the same number has the same image.
type keyed struct {
	mac     [sha256.Size]byte // HMAC's key
	permute cipher.Block      // AES-128 under the permutation's own key

	shared *keyed   // set: this one is for a single goroutine, and was made from that
	used   int      // how often, until it has working memory of its own
	own    *working // that memory

	mu   sync.Mutex // guards free
	free []*working // idle; not a sync.Pool, which throws away at will
}

// working is what one computation needs. It is kept, because what goes through
// the interfaces of hash and cipher would otherwise be allocated each time; so is
// HMAC's state behind the key, which is half of the work.
type working struct {
	mac   hash.Hash
	value []byte
	sum   []byte
	block [aes.BlockSize]byte
	memo  memo
}

// Bounds of what is kept: the room for values of each, and how many.
const (
	maxKept = 64 << 10
	maxFree = 64
)

func newKeyed(key access.Secret) *keyed {
	k := &keyed{mac: derive(key, "sluice mask hash v1")}
	permute := derive(key, "sluice mask permute v1")
	block, err := aes.NewCipher(permute[:16])
	if err != nil {
		panic(err) // 16 bytes are a key
	}
	k.permute = block
	return k
}

// alone returns k for the use of one goroutine at a time: it waits for nobody, and
// remembers values that come again.
func (k *keyed) alone() *keyed {
	if k.shared != nil {
		k = k.shared
	}
	return &keyed{mac: k.mac, permute: k.permute, shared: k}
}

// aloneFrom is how many values are worth memory of their own: most results are
// short.
const aloneFrom = 128

func (k *keyed) work() *working { return &working{mac: hmac.New(sha256.New, k.mac[:])} }

func (k *keyed) take() *working {
	if k.shared != nil {
		if k.used++; k.used < aloneFrom {
			return k.shared.take()
		}
		if k.own == nil {
			k.own = k.work()
		}
		return k.own
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	n := len(k.free)
	if n == 0 {
		return k.work()
	}
	w := k.free[n-1]
	k.free = k.free[:n-1]
	return w
}

func (k *keyed) give(w *working) {
	if w == k.own {
		if cap(w.value) > maxKept {
			w.value = nil
		}
		return
	}
	if k.shared != nil {
		k = k.shared
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.free) < maxFree && cap(w.value) <= maxKept {
		k.free = append(k.free, w)
	}
}

func derive(key access.Secret, label string) (out [sha256.Size]byte) {
	h := hmac.New(sha256.New, []byte(key.Reveal()))
	h.Write([]byte(label))
	h.Sum(out[:0])
	return out
}

func (k *keyed) apply(dst, value []byte, kind Kind, bin bool) ([]byte, bool) {
	switch kind {
	case KindText, KindXML:
		return k.appendHex(dst, value), false
	case KindJSON, KindJSONB:
		return k.hashJSON(dst, value, kind, bin)
	case KindInt2, KindInt4, KindInt8:
		n, ok := parseInt(value, kind, bin)
		if !ok {
			return dst, true
		}
		return appendInt(dst, k.permuteInt(n), kind, bin)
	case KindNumeric:
		return k.hashNumeric(dst, value, bin)
	case KindUUID:
		return k.hashUUID(dst, value, bin)
	case KindBytea:
		return k.hashBytea(dst, value, bin)
	}
	return dst, true
}

// hashSize is how much of an HMAC is a hash.
const hashSize = 16

// sum is HMAC-SHA-256, cut.
func (k *keyed) sum(value []byte) (out [hashSize]byte) {
	w := k.take()
	var slot *remembered
	if w == k.own {
		if slot = w.memo.text(value); slot != nil && slot.is(value) {
			w.memo.hits++
			return slot.sum
		}
	}
	w.value = append(w.value[:0], value...)
	w.mac.Reset()
	w.mac.Write(w.value)
	w.sum = w.mac.Sum(w.sum[:0])
	copy(out[:], w.sum)
	clear(w.value)
	if slot != nil {
		slot.keep(value, out)
	}
	k.give(w)
	return out
}

func (k *keyed) appendHex(dst, value []byte) []byte {
	s := k.sum(value)
	return hex.AppendEncode(dst, s[:])
}

// hashJSON hashes the text as sent: jsonb is canonical, json is what was
// written.
func (k *keyed) hashJSON(dst, value []byte, kind Kind, bin bool) ([]byte, bool) {
	if kind == KindJSONB && bin {
		if len(value) == 0 || value[0] != 1 {
			return dst, true
		}
		value = value[1:]
	}
	dst = jsonVersion(dst, kind, bin)
	dst = append(dst, '"')
	dst = k.appendHex(dst, value)
	return append(dst, '"'), false
}

// hashNumeric permutes whole numbers of 64 bits and gives all others a hash of
// 18 digits.
func (k *keyed) hashNumeric(dst, value []byte, bin bool) ([]byte, bool) {
	var d decimal
	parseNumeric(&d, value, bin)
	if !d.ok {
		return dst, true
	}
	n, whole := parseDecimal(d.bytes())
	if whole {
		n = k.permuteInt(n)
	} else {
		s := k.sum(d.bytes())
		n = int64(binary.BigEndian.Uint64(s[:]) % pow10(18))
	}
	return appendInt(dst, n, KindNumeric, bin)
}

// hashUUID makes a UUID of version 8 (RFC 9562, 5.8: contents are the maker's).
func (k *keyed) hashUUID(dst, value []byte, bin bool) ([]byte, bool) {
	var id [16]byte
	if bin {
		if len(value) != len(id) {
			return dst, true
		}
		copy(id[:], value)
	} else if !parseUUID(&id, value) {
		return dst, true
	}
	s := k.sum(id[:])
	s[6] = s[6]&0x0f | 0x80
	s[8] = s[8]&0x3f | 0x80
	if bin {
		return append(dst, s[:]...), false
	}
	for i, end := range [5]int{4, 6, 8, 10, 16} {
		start := [5]int{0, 4, 6, 8, 10}[i]
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, s[start:end])
	}
	return dst, false
}

// parseUUID reads the one form that the server writes.
func parseUUID(id *[16]byte, text []byte) bool {
	if len(text) != len(zeroUUID) {
		return false
	}
	n := 0
	for i, c := range text {
		if zeroUUID[i] == '-' {
			if c != '-' {
				return false
			}
			continue
		}
		if !isHex(c) {
			return false
		}
		id[n/2] = id[n/2]<<4 | nibble(c)
		n++
	}
	return true
}

func nibble(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// hashBytea hashes the bytes themselves in both formats.
func (k *keyed) hashBytea(dst, value []byte, bin bool) ([]byte, bool) {
	if bin {
		s := k.sum(value)
		return append(dst, s[:]...), false
	}
	if len(value) < 2 || value[0] != '\\' || value[1] != 'x' || len(value)%2 != 0 {
		return dst, true // bytea_output = escape
	}
	start := len(dst)
	dst, err := hex.AppendDecode(dst, value[2:])
	if err != nil {
		clear(dst[start:])
		return dst[:start], true
	}
	s := k.sum(dst[start:])
	clear(dst[start:]) // the room behind dst must not keep the value
	dst = append(dst[:start], `\x`...)
	return hex.AppendEncode(dst, s[:]), false
}

// permuteInt maps the integers onto themselves. Each of the ranges of int2,
// int4 and int8 is mapped onto itself, so that the image fits wherever the
// number did: it walks on from images that fall into a smaller range, as a
// permutation of the larger one must (Black and Rogaway 2002, cycle walking).
func (k *keyed) permuteInt(n int64) int64 {
	if k.own == nil {
		return k.walk(n)
	}
	m := &k.own.memo
	slot := m.number(n)
	if slot == nil {
		return k.walk(n)
	}
	if slot.set && slot.n == n {
		m.hits++
		return slot.image
	}
	*slot = permuted{n, k.walk(n), true}
	return slot.image
}

func (k *keyed) walk(n int64) int64 {
	switch {
	case fits(n, KindInt2):
		return int64(int16(k.feistel(uint64(uint16(n)), 8, 0)))
	case fits(n, KindInt4):
		for {
			n = int64(int32(k.feistel(uint64(uint32(n)), 16, 0)))
			if !fits(n, KindInt2) {
				return n
			}
		}
	}
	for {
		n = int64(k.feistel(uint64(n), 32, 0))
		if !fits(n, KindInt4) {
			return n
		}
	}
}

// rounds of the Feistel network; NIST SP 800-38G prescribes ten for FF1.
const rounds = 10

// feistel permutes words of two halves of the given bits; each tweak gives
// another permutation. Its round function is AES (as FF1's), whose block holds
// the round, what is permuted and one half.
func (k *keyed) feistel(x uint64, half int, tweak byte) uint64 {
	w := k.take()
	mask := uint64(1)<<half - 1
	left, right := x>>half, x&mask
	for r := range rounds {
		w.block = [aes.BlockSize]byte{byte(half), byte(r), tweak}
		binary.BigEndian.PutUint32(w.block[12:], uint32(right))
		k.permute.Encrypt(w.block[:], w.block[:])
		left, right = right, left^uint64(binary.BigEndian.Uint32(w.block[:]))&mask
	}
	k.give(w)
	return left<<half | right
}
