package mask

import "bytes"

// maxLocal and maxDomain bound an address (RFC 5321, 4.5.3.1); longer ones are
// masked no further than that.
const (
	maxLocal  = 64 * 4 // octets; four for each character beyond ASCII
	maxDomain = 255
)

func findEmails(v []byte, spans []Span) []Span {
	from := 0
	for i := 0; i < len(v); i++ {
		at := bytes.IndexByte(v[i:], '@')
		if at < 0 {
			break
		}
		i += at
		if start, end, ok := addressAround(v, i, from); ok {
			spans = append(spans, Span{start, end, FoundEmail})
			from, i = end, end-1
		}
	}
	return spans
}

// addressAround widens an @ to the address around it, not further left than
// from: local part, @, a domain of two labels or more that ends in letters.
func addressAround(v []byte, at, from int) (start, end int, ok bool) {
	start = at
	for low := max(from, at-maxLocal); start > low && isLocal(v, start-1); {
		start--
	}
	if start == at || !is(v, at+1, className) {
		return 0, 0, false
	}
	end = at + 1
	dot := 0
	for high := min(len(v), end+maxDomain); end < high; end++ {
		switch c := v[end]; {
		case classes[c]&className != 0 || c == '-':
		case c == '.' && is(v, end+1, className):
			dot = end
		default:
			high = end
		}
		if high == end {
			break
		}
	}
	ok = dot > 0 && end-dot > 2 && is(v, dot+1, classLetter|classHigh)
	return start, end, ok
}

// isLocal accepts an apostrophe only inside a name, because text puts
// addresses between them.
func isLocal(v []byte, i int) bool {
	if v[i] == '\'' {
		return is(v, i-1, classAlnum) && is(v, i+1, classAlnum)
	}
	return classes[v[i]]&(className|classLocal) != 0
}

var schemeEnd = []byte("://")

// findURLPasswords finds the password in scheme://user:password@host.
func findURLPasswords(v []byte, spans []Span) []Span {
	for i := 0; i < len(v); {
		at := bytes.Index(v[i:], schemeEnd)
		if at < 0 {
			break
		}
		i += at + len(schemeEnd)
		if start, end := userPassword(v, i); end > start {
			spans = append(spans, Span{start, end, FoundURLPassword})
			i = end
		}
	}
	return spans
}

// userPassword returns the bounds of the password in user:password@ at i. The
// password reaches to the last @ before the authority ends.
func userPassword(v []byte, i int) (start, end int) {
	for ; i < len(v); i++ {
		switch c := v[i]; {
		case c <= ' ' || c == '/' || c == '"' || c == '\'' || c == '<' || c == '>' || c == '\\':
			return start, end
		case c == ':' && start == 0:
			start = i + 1
		case c == '@' && start > 0:
			end = i
		}
	}
	return start, end
}

// Lengths of a telephone number in digits (ITU-T E.164, and the shortest that
// are told apart from other numbers).
const (
	minPhone = 8
	maxPhone = 15
)

// phone checks for a number that begins at i with + or a parenthesis, and
// returns its end; 0 if there is none.
func phone(v []byte, i int) int {
	if v[i] == '+' {
		if !is(v, i+1, classDigit) || v[i+1] == '0' {
			return 0
		}
		return phoneDigits(v, i+1, minPhone, maxPhone)
	}
	// (212) 555-0100
	if len(v) < i+9 || v[i+4] != ')' || !allDigits(v[i+1:i+4]) || v[i+1] < '2' {
		return 0
	}
	return phoneDigits(v, i+1, 10, 10)
}

// phoneDigits reads digits with one or two separators between groups.
func phoneDigits(v []byte, i, least, most int) int {
	n, end := 0, i
	for ; i < len(v) && i-end <= 2; i++ {
		switch v[i] {
		case ' ', '-', '.', '/', '(', ')':
		default:
			if !isDigit(v[i]) {
				i = len(v)
				break
			}
			if n == most {
				if i == end {
					return 0 // it goes on: no telephone number
				}
				return end
			}
			n++
			end = i + 1
		}
	}
	if n < least || is(v, end, classAlnum) {
		return 0
	}
	return end
}

// nationalPhone checks the groups of a number that begins with a digit:
// 212-555-0100, 1 212 555 0100, 030 1234567, 01 23 45 67 89, 0049 30 1234567.
func nationalPhone(r *digitRun) int {
	if len := r.lengths(); len == 3<<8|3<<4|4 || len == 1<<12|3<<8|3<<4|4 && r.digit[0] == 1 {
		if first := r.n - 10; r.digit[first] >= 2 {
			return r.end()
		}
		return 0
	}
	if r.digit[0] != 0 || r.groups < 2 || r.group[0].n < 2 || r.group[0].n > 6 || r.n < 9 || r.n > maxPhone {
		return 0
	}
	if r.group[0].n == 2 && r.group[1].n-r.group[0].n == 2 && r.groups > 2 && r.group[2].n-r.group[1].n == 4 {
		return 0 // 01.02.2003
	}
	return r.end()
}
