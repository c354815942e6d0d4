package identity

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/subtle"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	// defaultRounds is PostgreSQL's own iteration count (scram_iterations). More
	// would cost every client at every connect; tokens need none.
	defaultRounds = 4096

	saltSize = 16 // as PostgreSQL's
)

// keys are the two halves of a SCRAM-SHA-256 verifier (RFC 5802, section 3).
type keys struct{ stored, server []byte }

func deriveKeys(password string, salt []byte, rounds int) keys {
	salted := saltPassword(password, salt, rounds)
	stored := sha256.Sum256(mac(salted, "Client Key"))
	return keys{stored: stored[:], server: mac(salted, "Server Key")}
}

func saltPassword(password string, salt []byte, rounds int) []byte {
	salted, err := pbkdf2.Key(sha256.New, password, salt, rounds, sha256.Size)
	if err != nil {
		panic("identity: pbkdf2: " + err.Error()) // only for parameters that New refuses
	}
	return salted
}

// matches compares in constant time.
func (k keys) matches(o keys) bool { return subtle.ConstantTimeCompare(k.stored, o.stored) == 1 }

func mac(key []byte, parts ...string) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write([]byte(p))
	}
	return h.Sum(nil)
}

// spellings returns the forms in which clients may put a password into SCRAM:
// after SASLprep (RFC 4013), and as typed where that differs. Clients fall back
// to the typed form for code points that Unicode 3.2 did not know, which depends
// on their tables, so both are accepted.
func spellings(password string) []string {
	prepared := saslprep(password)
	if prepared == password {
		return []string{password}
	}
	return []string{prepared, password}
}

func saslprep(s string) string {
	if isASCII(s) || !utf8.ValidString(s) {
		return s
	}
	mapped := make([]rune, 0, len(s))
	for _, r := range s {
		switch {
		case isOtherSpace(r):
			mapped = append(mapped, ' ')
		case !isIgnorable(r):
			mapped = append(mapped, r)
		}
	}
	return norm.NFKC.String(string(mapped))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// isOtherSpace is RFC 3454, table C.1.2.
func isOtherSpace(r rune) bool {
	return r == 0xA0 || r == 0x1680 || r >= 0x2000 && r <= 0x200B || r == 0x202F || r == 0x205F || r == 0x3000
}

// isIgnorable is RFC 3454, table B.1, but for U+200B, which C.1.2 takes first
// as PostgreSQL does.
func isIgnorable(r rune) bool {
	switch {
	case r == 0xAD, r == 0x34F, r == 0x1806, r >= 0x180B && r <= 0x180D,
		r == 0x200C, r == 0x200D, r == 0x2060, r >= 0xFE00 && r <= 0xFE0F, r == 0xFEFF:
		return true
	}
	return false
}
