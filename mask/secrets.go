package mask

import (
	"bytes"
	"math"
)

// minToken is the length of the shortest token: an AWS key id, "AKIA" and 16 more.
const minToken = 20

const tokenClass = classAlnum | classToken

// findTokens finds keys and tokens: long runs of what they are made of. It
// looks at every 20th byte only, since a run of 20 cannot hide between.
func findTokens(v []byte, want set, spans []Span) []Span {
	for i := minToken - 1; i < len(v); i += minToken {
		if !is(v, i, tokenClass) {
			continue
		}
		start := i
		for start > 0 && classes[v[start-1]]&tokenClass != 0 {
			start--
		}
		end := i + 1
		for end < len(v) && classes[v[end]]&tokenClass != 0 {
			end++
		}
		if end-start >= minToken {
			spans = findInRun(v[start:end], start, want, spans)
		}
		i = end
	}
	return spans
}

// findInRun checks the parts of a run that begins at offset at.
func findInRun(run []byte, at int, want set, spans []Span) []Span {
	spans = findPrefixed(run, at, want, spans)
	if !want.has(FoundHighEntropy) {
		return spans
	}
	for i := 0; i < len(run); {
		n := bytes.IndexByte(run[i:], '.')
		if n < 0 {
			n = len(run) - i
		}
		if n >= minToken && randomLooking(run[i:i+n]) {
			spans = append(spans, Span{at + i, at + i + n, FoundHighEntropy})
		}
		i += n + 1
	}
	return spans
}

// findPrefixed finds tokens that begin with something known, where a word
// begins. A JWT that fails fails from every later start in its first part as
// well; these are left out, or a value full of starts would take their number
// times its length.
func findPrefixed(run []byte, at int, want set, spans []Span) []Span {
	noJWT := 0
	for i := 0; i+minToken <= len(run); i++ {
		if is(run, i-1, classAlnum) {
			continue
		}
		what, n := FoundJWT, 0
		if bytes.HasPrefix(run[i:], jwtBegin) {
			if i >= noJWT && want.has(FoundJWT) {
				var first int
				n, first = jwt(run[i:])
				noJWT = i + first
			}
		} else {
			what, n = tokenAt(run[i:])
		}
		if n > 0 && want.has(what) {
			spans = append(spans, Span{at + i, at + i + n, what})
			i += n - 1
		}
	}
	return spans
}

// A tokenForm is a credential with a prefix of its own.
type tokenForm struct {
	prefix string
	least  int // characters behind the prefix
	set    charset
	what   Found
}

type charset uint8

const (
	base62   charset = iota // letters and digits
	base64u                 // and - _
	dotted                  // and .
	upperNum                // upper case and digits
	hexDigit
)

func (s charset) has(c byte) bool {
	class := classes[c]
	switch s {
	case base62:
		return class&classAlnum != 0
	case base64u:
		return class&classAlnum != 0 || c == '-' || c == '_'
	case dotted:
		return class&classAlnum != 0 || c == '-' || c == '_' || c == '.'
	case upperNum:
		return class&(classUpper|classDigit) != 0
	case hexDigit:
		return isHex(c)
	}
	return false
}

// tokenForms are the documented forms of their issuers, by first byte.
var tokenForms = func(all []tokenForm) (byFirst [128][]tokenForm) {
	for _, f := range all {
		byFirst[f.prefix[0]] = append(byFirst[f.prefix[0]], f)
	}
	return byFirst
}([]tokenForm{
	{"AKIA", 16, upperNum, FoundCloudKey},    // AWS, long-term
	{"ASIA", 16, upperNum, FoundCloudKey},    // AWS, temporary
	{"ABIA", 16, upperNum, FoundCloudKey},    // AWS, bearer
	{"ACCA", 16, upperNum, FoundCloudKey},    // AWS, context
	{"AIza", 35, base64u, FoundCloudKey},     // Google API
	{"GOCSPX-", 28, base64u, FoundCloudKey},  // Google OAuth client
	{"ya29.", 20, dotted, FoundCloudKey},     // Google access token
	{"LTAI", 16, base62, FoundCloudKey},      // Alibaba Cloud
	{"AKID", 32, base62, FoundCloudKey},      // Tencent Cloud
	{"dop_v1_", 64, hexDigit, FoundCloudKey}, // DigitalOcean
	{"doo_v1_", 64, hexDigit, FoundCloudKey},
	{"dapi", 32, hexDigit, FoundCloudKey}, // Databricks
	{"hvs.", 24, base64u, FoundCloudKey},  // Vault
	{"hvb.", 24, base64u, FoundCloudKey},  // Vault, batch
	{"ghp_", 36, base62, FoundAPIToken},   // GitHub
	{"gho_", 36, base62, FoundAPIToken},   //
	{"ghu_", 36, base62, FoundAPIToken},   //
	{"ghs_", 36, base62, FoundAPIToken},   //
	{"ghr_", 36, base62, FoundAPIToken},   //
	{"github_pat_", 22, base64u, FoundAPIToken},
	{"glpat-", 20, dotted, FoundAPIToken},    // GitLab
	{"gldt-", 20, base64u, FoundAPIToken},    //
	{"glrt-", 20, base64u, FoundAPIToken},    //
	{"xoxb-", 20, base64u, FoundAPIToken},    // Slack
	{"xoxp-", 20, base64u, FoundAPIToken},    //
	{"xoxa-", 20, base64u, FoundAPIToken},    //
	{"xoxr-", 20, base64u, FoundAPIToken},    //
	{"xoxs-", 20, base64u, FoundAPIToken},    //
	{"xapp-", 20, base64u, FoundAPIToken},    //
	{"sk_live_", 16, base62, FoundAPIToken},  // Stripe
	{"sk_test_", 16, base62, FoundAPIToken},  //
	{"rk_live_", 16, base62, FoundAPIToken},  //
	{"rk_test_", 16, base62, FoundAPIToken},  //
	{"whsec_", 24, base62, FoundAPIToken},    //
	{"sk-ant-", 32, base64u, FoundAPIToken},  // Anthropic
	{"sk-proj-", 32, base64u, FoundAPIToken}, // OpenAI
	{"sk-", 32, base62, FoundAPIToken},       //
	{"SG.", 50, dotted, FoundAPIToken},       // SendGrid
	{"SK", 32, hexDigit, FoundAPIToken},      // Twilio
	{"npm_", 36, base62, FoundAPIToken},      // npm
	{"pypi-AgE", 40, base64u, FoundAPIToken}, // PyPI
	{"hf_", 34, base62, FoundAPIToken},       // Hugging Face
	{"shpat_", 32, hexDigit, FoundAPIToken},  // Shopify
	{"shpss_", 32, hexDigit, FoundAPIToken},  //
	{"lin_api_", 32, base62, FoundAPIToken},  // Linear
	{"figd_", 32, base64u, FoundAPIToken},    // Figma
	{"ntn_", 40, base62, FoundAPIToken},      // Notion
	{"key-", 32, hexDigit, FoundAPIToken},    // Mailgun
})

// tokenAt returns the token that b begins with and its length; 0 if there is none.
func tokenAt(b []byte) (Found, int) {
	if b[0] >= 128 {
		return FoundNothing, 0
	}
	for _, f := range tokenForms[b[0]] {
		if len(b) < len(f.prefix)+f.least || string(b[:len(f.prefix)]) != f.prefix {
			continue
		}
		n := len(f.prefix)
		for n < len(b) && f.set.has(b[n]) {
			n++
		}
		if n >= len(f.prefix)+f.least && !is(b, n, classAlnum) {
			return f.what, n
		}
	}
	return FoundNothing, 0
}

// jwtBegin is {" in base64, as every header begins.
var jwtBegin = []byte("eyJ")

// jwt returns the length of a compact JWS or JWE (RFC 7515, 7516) at the start
// of b, 0 if there is none, and that of its first part: base64url parts between
// dots. An unsigned token's last part is empty.
func jwt(b []byte) (n, first int) {
	for parts := 1; ; parts++ {
		start := n
		for n < len(b) && base64u.has(b[n]) {
			n++
		}
		if parts == 1 {
			first = n
		}
		if parts <= 2 && n-start < 8 {
			return 0, first
		}
		if n == len(b) || b[n] != '.' || parts == 5 {
			if parts < 3 {
				n = 0
			}
			return n, first
		}
		n++
	}
}

// randomLooking tells a token drawn by lot from words, paths and identifiers:
// it has digits and letters of both cases, mixed closely, and hardly a
// character twice. Hexadecimal digests and UUIDs are not taken: they are
// seldom secret.
func randomLooking(b []byte) bool {
	const maxLooked = 128
	b = b[:min(len(b), maxLooked)]
	var count [128]uint8
	var digits, uppers, lowers, changes int
	last := uint8(0)
	for _, c := range b {
		count[c&127]++
		class := classes[c] & (classAlnum | classToken)
		if class != last {
			changes++
		}
		switch last = class; class {
		case classDigit:
			digits++
		case classUpper:
			uppers++
		case classLower:
			lowers++
		}
	}
	if digits < 2 || uppers < 2 || lowers < 2 || changes*5 < len(b)*2 {
		return false
	}
	return entropy(&count, len(b)) >= leastEntropy(len(b))
}

// entropy is Shannon's, in bits a character.
func entropy(count *[128]uint8, n int) float32 {
	sum := float32(0)
	for _, c := range count {
		sum += xlog2x[c]
	}
	return log2(n) - sum/float32(n)
}

// leastEntropy grows with the length, as the entropy of random text does: 20
// characters of base 62 have 4.1 bits, 40 have 4.8, 128 have 5.6.
func leastEntropy(n int) float32 {
	if n < 32 {
		return 3.6
	}
	return 4.1
}

func log2(n int) float32 { return xlog2x[n] / float32(n) }

var xlog2x = func() (t [129]float32) {
	for n := 1; n < len(t); n++ {
		t[n] = float32(float64(n) * math.Log2(float64(n)))
	}
	return t
}()

var (
	pemBegin = []byte("-----BEGIN ")
	pemEnd   = []byte("-----END ")
	pemDash  = []byte("-----")
	pemWord  = []byte("PRIVATE KEY")
)

// findPrivateKeys finds PEM and PGP private keys (RFC 7468, RFC 4880), also if
// they are cut off at the end.
func findPrivateKeys(v []byte, spans []Span) []Span {
	for i := 0; i < len(v); {
		at := bytes.Index(v[i:], pemBegin)
		if at < 0 {
			break
		}
		start := i + at
		i = start + len(pemBegin)
		label := v[i:min(len(v), i+40)]
		if close := bytes.Index(label, pemDash); close < 0 || !bytes.Contains(label[:close], pemWord) {
			continue
		}
		i = keyEnd(v, i)
		spans = append(spans, Span{start, i, FoundPrivateKey})
	}
	return spans
}

// keyEnd returns the offset behind the END line of a key whose label is at i.
// Without one the key ends with the first byte that no key holds.
func keyEnd(v []byte, i int) int {
	end := i
	for end < len(v) && (classes[v[end]]&tokenClass != 0 || isKeySpace(v[end])) {
		end++
	}
	if at := bytes.Index(v[i:end], pemEnd); at >= 0 {
		i += at + len(pemEnd)
		if close := bytes.Index(v[i:end], pemDash); close >= 0 {
			return i + close + len(pemDash)
		}
	}
	return end
}

// isKeySpace is what else stands in PEM, as it is or inside JSON.
func isKeySpace(c byte) bool {
	switch c {
	case ' ', '\t', '\r', '\n', '\\', ':', ',', '(', ')', '@', '<', '>':
		return true
	}
	return false
}
