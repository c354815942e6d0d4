package mask

import (
	"fmt"
	"slices"
)

// A Found says what a detector found. The zero Found is nothing.
type Found uint8

// What detectors find. Where there is a check digit it must be right.
const (
	FoundNothing Found = iota

	FoundEmail
	FoundPhone // international (+...), North American, and grouped numbers with a leading 0
	FoundCard  // 12 to 19 digits of a known issuer, Luhn
	FoundIBAN  // length by country, ISO 7064 mod 97-10
	FoundIPv4
	FoundIPv6
	FoundUSSSN           // 078-05-1120, ranges as the SSA assigns them
	FoundUKNINO          // QQ 12 34 56 C
	FoundDETaxID         // 11 digits, ISO 7064 mod 11,10
	FoundESDNI           // DNI and NIE, check letter
	FoundITCodiceFiscale // 16 characters, check letter
	FoundFRNIR           // 15 digits, mod 97; Corsica as 2A and 2B

	FoundJWT
	FoundCloudKey    // access keys of AWS, Google and others, by prefix
	FoundAPIToken    // tokens of GitHub, Slack, Stripe and others, by prefix
	FoundPrivateKey  // PEM and PGP blocks
	FoundURLPassword // scheme://user:password@
	FoundHighEntropy // 20 characters or more that look drawn by lot

	foundEnd
)

var founds = [foundEnd]string{
	"nothing", "email", "phone", "card", "iban", "ipv4", "ipv6",
	"us_ssn", "uk_nino", "de_tax_id", "es_dni", "it_codice_fiscale", "fr_nir",
	"jwt", "cloud_key", "api_token", "private_key", "url_password", "high_entropy",
}

// String returns the name as rules spell it.
func (f Found) String() string {
	if f < foundEnd {
		return founds[f]
	}
	return founds[FoundNothing]
}

// A set is a set of Found, one bit each.
type set uint32

func of(fs ...Found) (s set) {
	for _, f := range fs {
		s |= 1 << f
	}
	return s
}

func (s set) has(f Found) bool { return s&(1<<f) != 0 }

func (s set) any(o set) bool { return s&o != 0 }

var (
	ipSet           = of(FoundIPv4, FoundIPv6)
	nationalSet     = of(FoundUSSSN, FoundUKNINO, FoundDETaxID, FoundESDNI, FoundITCodiceFiscale, FoundFRNIR)
	tokenSet        = of(FoundJWT, FoundCloudKey, FoundAPIToken, FoundHighEntropy)
	secretsSet      = tokenSet | of(FoundPrivateKey, FoundURLPassword)
	piiSet          = nationalSet | of(FoundEmail, FoundPhone, FoundCard, FoundIBAN)
	wordSet         = nationalSet | of(FoundPhone, FoundCard, FoundIBAN, FoundIPv4)
	allSet      set = 1<<foundEnd - 2
)

// Detectables returns the names that [NewDetector] knows: what can be found,
// and the groups of such.
func Detectables() []string {
	return append(slices.Clone(founds[1:]), "ip", "national_id", "pii", "secrets", "all")
}

func parseFound(name string) (set, bool) {
	switch name {
	case "ip":
		return ipSet, true
	case "national_id":
		return nationalSet, true
	case "pii": // people: e-mail, phone, card, iban and national ids
		return piiSet, true
	case "secrets":
		return secretsSet, true
	case "all":
		return allSet, true
	}
	if i := slices.Index(founds[1:], name); i >= 0 {
		return 1 << (i + 1), true
	}
	return 0, false
}

// A Detector finds personal data and secrets in values. The zero Detector
// finds nothing. Safe for concurrent use.
type Detector struct{ want set }

// NewDetector returns a detector of the named things and groups; an unknown
// name, or none at all, is an error.
func NewDetector(names []string) (*Detector, error) {
	var d Detector
	for _, n := range names {
		s, ok := parseFound(n)
		if !ok {
			return nil, fmt.Errorf("mask: unknown detector %q (known: %v)", n, Detectables())
		}
		d.want |= s
	}
	if d.want == 0 {
		return nil, fmt.Errorf("mask: a detector must detect something")
	}
	return &d, nil
}

// A Span is a find: value[Start:End].
type Span struct {
	Start, End int
	What       Found
}

// minFind is the length of the shortest thing that is found (an IPv4 address).
const minFind = 6

// Find appends what it finds in value to spans, in order and without overlap:
// finds that overlap are one span under the first one's name.
func (d *Detector) Find(value []byte, spans []Span) []Span {
	if len(value) < minFind {
		return spans
	}
	base := len(spans)
	g := count(value)
	if g.at > 0 && d.want.has(FoundEmail) {
		spans = findEmails(value, spans)
	}
	if g.at > 0 && g.colons > 1 && d.want.has(FoundURLPassword) {
		spans = findURLPasswords(value, spans)
	}
	if w := d.words(g); w != 0 {
		spans = findWords(value, w, spans)
	}
	if g.colons > 1 && d.want.has(FoundIPv6) {
		spans = findIPv6(value, spans)
	}
	if d.want.any(tokenSet) {
		spans = findTokens(value, d.want, spans)
	}
	if d.want.has(FoundPrivateKey) {
		spans = findPrivateKeys(value, spans)
	}
	return settle(spans, base)
}

// words returns which of the checks that begin at a word or number can succeed
// in a value with these counts.
func (d *Detector) words(g gate) set {
	w := d.want & wordSet
	if g.dots < 3 {
		w &^= of(FoundIPv4)
	}
	switch {
	case g.digits < 4: // an IPv4 address needs four, an Italian code has four that are not replaced
		return 0
	case g.digits < 6:
		return w & of(FoundIPv4, FoundITCodiceFiscale)
	case g.digits < minCard:
		w &^= of(FoundCard, FoundFRNIR)
	}
	return w
}

// settle sorts the spans from base on and joins those that overlap.
func settle(spans []Span, base int) []Span {
	found := spans[base:]
	if len(found) < 2 {
		return spans
	}
	slices.SortStableFunc(found, func(a, b Span) int { return a.Start - b.Start })
	n := 0
	for _, s := range found[1:] {
		if last := &found[n]; s.Start < last.End {
			last.End = max(last.End, s.End)
			continue
		}
		n++
		found[n] = s
	}
	return spans[:base+n+1]
}

// A gate holds how often the telling bytes occur.
type gate struct{ digits, dots, colons, at int }

// The lanes of a count: four of 16 bits in a word, so that one addition a byte
// counts all four without a branch.
const (
	laneDigit = 1 << (16 * iota)
	laneDot
	laneColon
	laneAt
)

// laneBlock is the most bytes that cannot overflow a lane.
const laneBlock = 1<<16 - 4

var lanes = func() (t [256]uint64) {
	for c := '0'; c <= '9'; c++ {
		t[c] = laneDigit
	}
	t['.'], t[':'], t['@'] = laneDot, laneColon, laneAt
	return t
}()

func count(value []byte) (g gate) {
	for len(value) > 0 {
		block := value[:min(len(value), laneBlock)]
		value = value[len(block):]
		sum := countBlock(block)
		g.digits += int(sum & 0xffff)
		g.dots += int(sum >> 16 & 0xffff)
		g.colons += int(sum >> 32 & 0xffff)
		g.at += int(sum >> 48)
	}
	return g
}

// countBlock keeps four sums so that the additions need not wait for each other.
func countBlock(b []byte) uint64 {
	var s0, s1, s2, s3 uint64
	for len(b) >= 4 {
		s0 += lanes[b[0]]
		s1 += lanes[b[1]]
		s2 += lanes[b[2]]
		s3 += lanes[b[3]]
		b = b[4:]
	}
	for _, c := range b {
		s0 += lanes[c]
	}
	return s0 + s1 + s2 + s3
}

// Classes of byte, for the checks.
const (
	classDigit = 1 << iota
	classUpper
	classLower
	classHigh  // 0x80 and above: part of a character beyond ASCII
	classLocal // the rest of what an e-mail's local part may have
	classToken // the rest of what a key or token may have

	classLetter = classUpper | classLower
	classAlnum  = classLetter | classDigit
	className   = classAlnum | classHigh
)

var classes = func() (t [256]uint8) {
	for c := range t {
		switch {
		case c >= '0' && c <= '9':
			t[c] = classDigit
		case c >= 'A' && c <= 'Z':
			t[c] = classUpper
		case c >= 'a' && c <= 'z':
			t[c] = classLower
		case c >= 0x80:
			t[c] = classHigh
		}
	}
	for _, c := range "._%+-" {
		t[c] |= classLocal
	}
	for _, c := range "_-+/=." {
		t[c] |= classToken
	}
	return t
}()

// is reports whether the byte at i exists and is of one of the classes.
func is(v []byte, i int, class uint8) bool {
	return i >= 0 && i < len(v) && classes[v[i]]&class != 0
}
