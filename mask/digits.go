package mask

// Lengths of a card number (ISO/IEC 7812-1).
const (
	minCard = 12
	maxCard = 19
)

// A digitRun is a number as people write it: groups of digits with single
// separators between them.
type digitRun struct {
	digit  [24]byte // values, not characters
	n      int
	group  [12]digitGroup
	groups int
}

// A digitGroup is where a group ends.
type digitGroup struct {
	n   int  // digits up to its end
	end int  // offset behind it
	sep byte // before it; 0 before the first
}

// read collects the number at v[i:], as far as a run goes.
func (r *digitRun) read(v []byte, i int) {
	r.n, r.groups = 0, 0
	sep := byte(0)
	for i < len(v) && r.groups < len(r.group) {
		start := r.n
		for i < len(v) && isDigit(v[i]) {
			if r.n == len(r.digit) {
				r.n = start // the group does not end here: it is none
				return
			}
			r.digit[r.n] = v[i] - '0'
			r.n++
			i++
		}
		r.group[r.groups] = digitGroup{r.n, i, sep}
		r.groups++
		if !is(v, i+1, classDigit) {
			return
		}
		switch sep = v[i]; sep {
		case ' ', '-', '.', '/':
			i++
		default:
			return
		}
	}
}

// end is the offset behind the last group.
func (r *digitRun) end() int { return r.group[r.groups-1].end }

// lengths packs the lengths of up to four groups, four bits each; 0 if there
// are more or a group is longer.
func (r *digitRun) lengths() (packed int) {
	if r.groups > 4 {
		return 0
	}
	last := 0
	for _, g := range r.group[:r.groups] {
		if g.n-last > 15 {
			return 0
		}
		packed, last = packed<<4|(g.n-last), g.n
	}
	return packed
}

// separators reports whether all groups up to the last-th are separated by one
// and the same of the given bytes.
func (r *digitRun) separators(last int, allowed string) bool {
	for i := 1; i <= last; i++ {
		if r.group[i].sep != r.group[1].sep {
			return false
		}
	}
	if last == 0 {
		return true
	}
	for _, c := range []byte(allowed) {
		if r.group[1].sep == c {
			return true
		}
	}
	return false
}

// card returns the end of a card number at the run's start. It may end at any
// group, since other numbers can follow.
func card(v []byte, r *digitRun) int {
	for i, g := range r.group[:r.groups] {
		if g.n > maxCard || !r.separators(i, " -") {
			return 0
		}
		if g.n >= minCard && !is(v, g.end, classLetter) && issued(r.digit[:g.n]) && luhn(r.digit[:g.n]) {
			return g.end
		}
	}
	return 0
}

// issued reports whether an issuer has numbers of this beginning and length,
// so that not every tenth long number is a card.
func issued(d []byte) bool {
	n := len(d)
	four := int(d[0])*1000 + int(d[1])*100 + int(d[2])*10 + int(d[3])
	two, three := four/100, four/10
	switch {
	case d[0] == 4: // Visa
		return n == 13 || n == 16 || n == 19
	case two >= 51 && two <= 55, four >= 2221 && four <= 2720: // Mastercard
		return n == 16
	case two == 34, two == 37: // American Express
		return n == 15
	case four == 6011, two == 65, three >= 644 && three <= 649: // Discover
		return n >= 16
	case four >= 3528 && four <= 3589: // JCB
		return n >= 16
	case two == 36, two == 38, two == 39, three >= 300 && three <= 305: // Diners Club
		return n >= 14
	case two == 62, two == 81: // UnionPay
		return n >= 16
	case four >= 2200 && four <= 2204: // Mir
		return n >= 16
	case two == 50, two >= 56 && two <= 58, two == 60, two == 63, two == 67: // Maestro, RuPay
		return n == 12 || n >= 16
	}
	return false
}

// luhn checks digits against ISO/IEC 7812-1, annex B.
func luhn(d []byte) bool {
	sum := 0
	for i := range d {
		c := int(d[len(d)-1-i])
		if i&1 == 1 {
			if c *= 2; c > 9 {
				c -= 9
			}
		}
		sum += c
	}
	return sum%10 == 0
}

// usSSN checks 078-05-1120 (also with spaces) against the ranges that the
// Social Security Administration never assigns.
func usSSN(v []byte, r *digitRun) int {
	if r.groups < 3 || r.group[0].n != 3 || r.group[1].n != 5 || r.group[2].n != 9 || !r.separators(2, "- ") {
		return 0
	}
	end := r.group[2].end
	if r.groups > 3 && r.group[3].sep == r.group[1].sep || is(v, end, classLetter) {
		return 0
	}
	d := r.digit[:9]
	area := int(d[0])*100 + int(d[1])*10 + int(d[2])
	if area == 0 || area == 666 || area >= 900 || d[3]+d[4] == 0 || d[5]+d[6]+d[7]+d[8] == 0 {
		return 0
	}
	return end
}

// deTaxID checks 12345678901 and 12 345 678 901 (Abgabenordnung, 139b): one
// digit of the first ten occurs two or three times, no other more than once,
// and the last is a check digit by ISO 7064 mod 11,10.
func deTaxID(v []byte, r *digitRun) int {
	last := 0
	if r.group[0].n != 11 {
		if r.groups < 4 || r.group[0].n != 2 || r.group[1].n != 5 || r.group[2].n != 8 ||
			r.group[3].n != 11 || !r.separators(3, " ") {
			return 0
		}
		last = 3
	}
	end := r.group[last].end
	if r.digit[0] == 0 || is(v, end, classLetter) || !oneRepeats(r.digit[:10]) || mod1110(r.digit[:10]) != r.digit[10] {
		return 0
	}
	return end
}

func oneRepeats(d []byte) bool {
	var n [10]int
	repeats := 0
	for _, c := range d {
		n[c]++
	}
	for _, k := range n {
		if k > 3 {
			return false
		}
		if k > 1 {
			repeats++
		}
	}
	return repeats == 1
}

func mod1110(d []byte) byte {
	p := 10
	for _, c := range d {
		s := (int(c) + p) % 10
		if s == 0 {
			s = 10
		}
		p = s * 2 % 11
	}
	return byte((11 - p) % 10)
}
