package mask

// findWords runs the checks that begin at a word, a number or a sign. A word
// is looked at once, at its first byte.
func findWords(v []byte, want set, spans []Span) []Span {
	for i := 0; i < len(v); {
		c := classes[v[i]]
		if c&(classAlnum) == 0 && v[i] != '+' && v[i] != '(' {
			i++
			continue
		}
		if what, end := wordAt(v, i, want); end > i {
			spans = append(spans, Span{i, end, what})
			i = end
			continue
		}
		i++
		if c&classAlnum != 0 {
			for i < len(v) && classes[v[i]]&classAlnum != 0 {
				i++
			}
		}
	}
	return spans
}

// wordAt returns what begins at i and where it ends; 0 if nothing does.
func wordAt(v []byte, i int, want set) (Found, int) {
	switch c := v[i]; {
	case isDigit(c):
		return numberAt(v, i, want)
	case c == '+' || c == '(':
		if want.has(FoundPhone) && !is(v, i-1, className) {
			return FoundPhone, phone(v, i)
		}
		return FoundNothing, 0
	}
	if is(v, i-1, classHigh) || len(v)-i < 8 {
		return FoundNothing, 0
	}
	return letterAt(v, i, want)
}

func numberAt(v []byte, i int, want set) (Found, int) {
	joined := i > 1 && isDigit(v[i-2]) && (v[i-1] == '-' || v[i-1] == '.' || v[i-1] == ':' || v[i-1] == '/')
	if want.has(FoundIPv4) && !joined {
		if end := ipv4(v, i); end > 0 {
			return FoundIPv4, end
		}
	}
	if want.has(FoundFRNIR) {
		if end := frNIR(v, i); end > 0 {
			return FoundFRNIR, end
		}
	}
	if !want.any(of(FoundCard, FoundUSSSN, FoundDETaxID, FoundESDNI, FoundPhone)) {
		return FoundNothing, 0
	}
	var r digitRun
	if r.read(v, i); r.groups == 0 {
		return FoundNothing, 0
	}
	return runAt(v, &r, want, joined)
}

// runAt checks a run of digits. joined says that it goes on from a number
// before it.
func runAt(v []byte, r *digitRun, want set, joined bool) (Found, int) {
	if want.has(FoundCard) && r.n >= minCard {
		if end := card(v, r); end > 0 {
			return FoundCard, end
		}
	}
	if want.has(FoundDETaxID) && r.n >= 11 {
		if end := deTaxID(v, r); end > 0 {
			return FoundDETaxID, end
		}
	}
	if want.has(FoundESDNI) && r.group[0].n == 8 {
		if end := esDNI(v, r.digit[:8], r.group[0].end); end > 0 {
			return FoundESDNI, end
		}
	}
	if joined || r.n < 9 {
		return FoundNothing, 0
	}
	if want.has(FoundUSSSN) {
		if end := usSSN(v, r); end > 0 {
			return FoundUSSSN, end
		}
	}
	if want.has(FoundPhone) && !is(v, r.end(), classAlnum) {
		if end := nationalPhone(r); end > 0 {
			return FoundPhone, end
		}
	}
	return FoundNothing, 0
}

// letterAt dispatches on the third byte, which tells most words from ids.
func letterAt(v []byte, i int, want set) (Found, int) {
	if want.has(FoundIBAN) && isDigit(v[i+2]) && isDigit(v[i+3]) {
		if end := iban(v, i); end > 0 {
			return FoundIBAN, end
		}
	}
	if want.has(FoundUKNINO) && (isDigit(v[i+2]) || v[i+2] == ' ') {
		if end := ukNINO(v, i); end > 0 {
			return FoundUKNINO, end
		}
	}
	if want.has(FoundITCodiceFiscale) && is(v, i+5, classLetter) && is(v, i+8, classLetter) {
		if end := codiceFiscale(v, i); end > 0 {
			return FoundITCodiceFiscale, end
		}
	}
	if want.has(FoundESDNI) && upper(v[i]) >= 'X' && upper(v[i]) <= 'Z' {
		if end := esNIE(v, i); end > 0 {
			return FoundESDNI, end
		}
	}
	return FoundNothing, 0
}

// upper is for letters; other bytes stay other bytes.
func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		return c - 0x20
	}
	return c
}

// ibanLength is the length by country (SWIFT IBAN registry, release 99), as
// pairs: AD24 means 24 characters.
const ibanLengths = "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24FI18FK18FO18FR27" +
	"GB22GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19" +
	"MN20MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24" +
	"TR26UA29VA22VG24XK20YE30"

func ibanLength(a, b byte) int {
	for i := 0; i < len(ibanLengths); i += 4 {
		if ibanLengths[i] == a && ibanLengths[i+1] == b {
			return int(ibanLengths[i+2]-'0')*10 + int(ibanLengths[i+3]-'0')
		}
	}
	return 0
}

// iban checks length and ISO 7064 mod 97-10, spaces between characters allowed.
func iban(v []byte, i int) int {
	want := ibanLength(upper(v[i]), upper(v[i+1]))
	if want == 0 {
		return 0
	}
	var chars [34]byte
	end := compact(v, i, chars[:want], " ")
	if end == 0 {
		return 0
	}
	rem := 0
	for k := range want {
		c := chars[(k+4)%want] // the country and its check digits go last
		if isDigit(c) {
			rem = (rem*10 + int(c-'0')) % 97
		} else {
			rem = (rem*100 + int(c-'A') + 10) % 97
		}
	}
	if rem != 1 {
		return 0
	}
	return end
}

// compact fills out with the letters (upper case) and digits at v[i:], skipping
// single separators between them, and returns the offset behind; 0 if they do
// not fill it or another letter or digit follows.
func compact(v []byte, i int, out []byte, separators string) int {
	for n := range out {
		if n > 0 && i < len(v) && separators != "" && v[i] == separators[0] {
			i++
		}
		if !is(v, i, classAlnum) {
			return 0
		}
		out[n] = upper(v[i])
		i++
	}
	if is(v, i, classAlnum) {
		return 0
	}
	return i
}

// ukNINO checks QQ 12 34 56 C against the prefixes that HMRC never issues
// (National Insurance Manual, NIM39110).
func ukNINO(v []byte, i int) int {
	var c [9]byte
	end := compact(v, i, c[:], " ")
	if end == 0 || !allDigits(c[2:8]) || c[8] < 'A' || c[8] > 'D' {
		return 0
	}
	switch c[1] {
	case 'O':
		return 0
	}
	for _, l := range c[:2] {
		switch l {
		case 'D', 'F', 'I', 'Q', 'U', 'V':
			return 0
		}
		if isDigit(l) {
			return 0
		}
	}
	switch string(c[:2]) {
	case "BG", "GB", "KN", "NK", "NT", "TN", "ZZ":
		return 0
	}
	return end
}

// esLetters is the check letter of a Spanish number modulo 23.
const esLetters = "TRWAGMYFPDXBNJZSQVHLCKE"

// esDNI checks the letter behind eight digits, which end at i: 12345678Z, 12345678-Z.
func esDNI(v []byte, digits []byte, i int) int {
	if i < len(v) && v[i] == '-' {
		i++
	}
	n := 0
	for _, d := range digits {
		n = n*10 + int(d)
	}
	if !is(v, i, classLetter) || upper(v[i]) != esLetters[n%23] || is(v, i+1, classAlnum) {
		return 0
	}
	return i + 1
}

// esNIE checks a foreigner's number: X1234567L, its X, Y or Z counting as 0, 1, 2.
func esNIE(v []byte, i int) int {
	var c [9]byte
	end := compact(v, i, c[:], "-")
	if end == 0 || !allDigits(c[1:8]) {
		return 0
	}
	n := int(c[0] - 'X')
	for _, d := range c[1:8] {
		n = n*10 + int(d-'0')
	}
	if c[8] != esLetters[n%23] {
		return 0
	}
	return end
}

// codiceFiscale checks RSSMRA85T10A562S (Decreto ministeriale 23/12/1976):
// letters where letters stand, digits or the letters that replace them among
// namesakes, and the check letter.
func codiceFiscale(v []byte, i int) int {
	var c [16]byte
	end := compact(v, i, c[:], "")
	if end == 0 {
		return 0
	}
	sum := 0
	for k, b := range c[:15] {
		letter := "LLLLLLDDLDDLDDDL"[k] == 'L'
		if letter == isDigit(b) || !letter && !isDigit(b) && (b < 'L' || b > 'V' || b == 'O') {
			return 0
		}
		sum += fiscalValue(b, k%2 == 0)
	}
	if c[15] != byte('A'+sum%26) {
		return 0
	}
	return end
}

// fiscalValue is a character's worth at an odd place (counted from 1) or an
// even one.
func fiscalValue(c byte, odd bool) int {
	n := int(c - '0')
	if !isDigit(c) {
		n = int(c - 'A')
	}
	if !odd {
		return n
	}
	return int(("BAFHJNPRTVCESULDGIMOQKWZYX")[n] - 'A')
}

// frNIR checks a French number of 15 places, spaces allowed: sex, year, month,
// department, commune, order, and 97 less the rest modulo 97. Corsica's 2A and
// 2B count as 19 and 18.
func frNIR(v []byte, i int) int {
	var c [15]byte
	if v[i] < '1' || v[i] > '8' {
		return 0
	}
	end := compact(v, i, c[:], " ")
	if end == 0 {
		return 0
	}
	switch c[6] {
	case 'A':
		c[5], c[6] = '1', '9'
	case 'B':
		c[5], c[6] = '1', '8'
	}
	month := int(c[3]-'0')*10 + int(c[4]-'0')
	if !allDigits(c[:]) || month == 0 || month > 12 && month < 20 {
		return 0
	}
	rem := 0
	for _, d := range c[:13] {
		rem = (rem*10 + int(d-'0')) % 97
	}
	if 97-rem != int(c[13]-'0')*10+int(c[14]-'0') {
		return 0
	}
	return end
}
