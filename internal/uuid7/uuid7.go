// Package uuid7 makes UUIDs of version 7 (RFC 9562, section 5.7): ordered by
// time, so that an id alone tells where in a journal to look.
package uuid7

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"time"
)

// New returns a UUID of version 7 for t: 48 bits of milliseconds, 12 bits of
// the microsecond within it, 62 random bits.
func New(t time.Time) string {
	var u [16]byte
	us := t.UnixMicro()
	ms, sub := us/1000, us%1000
	binary.BigEndian.PutUint64(u[:8], uint64(ms)<<16|uint64(sub<<2)) // 1000 values in 12 bits, two spare
	binary.BigEndian.PutUint64(u[8:], rand.Uint64())                 // ChaCha8 seeded by the system: unique, and no secret
	u[6] = u[6]&0x0f | 0x70
	u[8] = u[8]&0x3f | 0x80
	var s [36]byte
	hex.Encode(s[0:8], u[0:4])
	hex.Encode(s[9:13], u[4:6])
	hex.Encode(s[14:18], u[6:8])
	hex.Encode(s[19:23], u[8:10])
	hex.Encode(s[24:36], u[10:16])
	s[8], s[13], s[18], s[23] = '-', '-', '-', '-'
	return string(s[:])
}

// Time returns the millisecond that id was made in.
func Time(id string) (time.Time, error) {
	if len(id) != 36 || id[8] != '-' || id[14] != '7' {
		return time.Time{}, errors.New("uuid7: not a version 7 UUID")
	}
	b, err := hex.DecodeString("0000" + id[0:8] + id[9:13])
	if err != nil {
		return time.Time{}, errors.New("uuid7: not a version 7 UUID")
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(b))).UTC(), nil
}
