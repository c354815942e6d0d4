package mask

import "bytes"

// ipv4 returns the end of four decimal octets without leading zeros at i.
func ipv4(v []byte, i int) int {
	for octet := range 4 {
		if octet > 0 {
			if i >= len(v) || v[i] != '.' {
				return 0
			}
			i++
		}
		n, start := 0, i
		for i < len(v) && isDigit(v[i]) && i-start < 3 {
			n = n*10 + int(v[i]-'0')
			i++
		}
		if i == start || n > 255 || v[start] == '0' && i-start > 1 {
			return 0
		}
	}
	if is(v, i, classAlnum) || i < len(v) && v[i] == '.' && is(v, i+1, classDigit) {
		return 0
	}
	return i
}

// findIPv6 looks at every run of what an address is made of.
func findIPv6(v []byte, spans []Span) []Span {
	for i := 0; i < len(v); {
		colon := bytes.IndexByte(v[i:], ':')
		if colon < 0 {
			break
		}
		start := i + colon
		for low := max(i, start-4); start > low && isHex(v[start-1]); {
			start--
		}
		end := i + colon + 1
		for end < len(v) && (isHex(v[end]) || v[end] == ':') {
			end++
		}
		if !is(v, start-1, classAlnum) {
			if n := ipv6(v[start:]); n > 0 {
				end = start + n
				spans = append(spans, Span{start, end, FoundIPv6})
			}
		}
		i = end
	}
	return spans
}

// ipv6 returns the length of the address that v begins with (RFC 4291, 2.2); 0
// if there is none. Addresses with less than three groups are not taken: they
// look like names of programs (std::a) and belong to nobody (::1).
func ipv6(v []byte) int {
	groups, gap, i := 0, false, 0
	if bytes.HasPrefix(v, gapMark) {
		gap, i = true, len(gapMark)
	}
	for more := true; more && groups < 8; {
		n := hexLength(v[i:])
		if n == 0 || n > 4 {
			break
		}
		if end := embedded(v, i, n); groups >= 2 && end > 0 {
			groups, i = groups+2, end
			break
		}
		groups, i = groups+1, i+n
		switch {
		case bytes.HasPrefix(v[i:], gapMark) && !gap:
			gap, i = true, i+len(gapMark)
		case i+1 < len(v) && v[i] == ':' && isHex(v[i+1]):
			i++
		default:
			more = false
		}
	}
	if is(v, i, classAlnum) || i < len(v) && v[i] == ':' && is(v, i+1, classAlnum) {
		return 0
	}
	if groups < 3 || groups > 8 || gap == (groups == 8) {
		return 0
	}
	return i
}

// embedded returns the end of an IPv4 address in an IPv6 address's last 32 bits.
func embedded(v []byte, i, n int) int {
	if i+n >= len(v) || v[i+n] != '.' {
		return 0
	}
	return ipv4(v, i)
}

func hexLength(v []byte) int {
	n := 0
	for n < len(v) && n < 5 && isHex(v[n]) {
		n++
	}
	return n
}

var gapMark = []byte("::")
