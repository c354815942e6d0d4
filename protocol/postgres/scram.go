package postgres

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"

	"sluice/protocol"
)

const (
	scramName     = "SCRAM-SHA-256"
	scramPlusName = "SCRAM-SHA-256-PLUS"
	scramBinding  = "tls-server-end-point"

	// scramMaxMessage is PG_MAX_SASL_MESSAGE_LENGTH of the server (libpq/sasl.h).
	scramMaxMessage = 1024
	// scramNonceBytes is SCRAM_RAW_NONCE_LEN of the server (common/scram-common.h).
	scramNonceBytes = 18
)

// scram runs a SCRAM-SHA-256 exchange (RFC 5802, RFC 7677) and, if the proof
// holds, sends the server's signature together with AuthenticationOk.
func (n *negotiation) scram(st *startup) error {
	x := newScramExchange(n.Directory.SCRAM(st.User), n.binding)
	if err := n.send(&pgproto3.AuthenticationSASL{AuthMechanisms: x.mechanisms()}); err != nil {
		return err
	}
	first, err := n.scramFirst(x)
	if err != nil {
		return err
	}
	if err := n.send(&pgproto3.AuthenticationSASLContinue{Data: first}); err != nil {
		return err
	}
	final, err := n.scramMessage()
	if err != nil {
		return err
	}
	// Asked again: else a guesser could open many connections first, while it
	// may, and use up a guess on each of them later.
	if err := n.allowed(st); err != nil {
		return err
	}
	signature, login, err := x.final(final)
	if err != nil {
		return err
	}
	if signature == nil {
		n.Directory.Failed(st.User, st.Host())
		return &startupError{Code: "28P01", Message: fmt.Sprintf(`password authentication failed for user "%s"`, st.User)}
	}
	st.Login = login
	return n.send(&pgproto3.AuthenticationSASLFinal{Data: signature}, &pgproto3.AuthenticationOk{})
}

// scramFirst reads the client's choice of mechanism with its first message,
// which may also come separately, and returns the answer to it.
func (n *negotiation) scramFirst(x *scramExchange) ([]byte, error) {
	body, err := n.scramMessage()
	if err != nil {
		return nil, err
	}
	mechanism, data, err := parseSASLInitial(body)
	if err != nil {
		return nil, err
	}
	if err := x.choose(mechanism); err != nil {
		return nil, err
	}
	if data == nil {
		if err := n.send(&pgproto3.AuthenticationSASLContinue{}); err != nil {
			return nil, err
		}
		if data, err = n.scramMessage(); err != nil {
			return nil, err
		}
	}
	return x.first(data)
}

// scramMessage reads one message of the client's side of the exchange.
func (n *negotiation) scramMessage() ([]byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(n.r, head[:]); err != nil {
		return nil, fmt.Errorf("SASL response: %w", err)
	}
	if head[0] != 'p' {
		return nil, scramViolation(fmt.Sprintf("expected SASL response, got message type %d", head[0]), "")
	}
	size := binary.BigEndian.Uint32(head[1:])
	if size < 4 || size > 4+scramMaxMessage {
		return nil, scramViolation("invalid message length", "")
	}
	body := make([]byte, size-4)
	if _, err := io.ReadFull(n.r, body); err != nil {
		return nil, fmt.Errorf("SASL response: %w", err)
	}
	return body, nil
}

// parseSASLInitial reads a SASLInitialResponse: the mechanism's name, and the
// first message or nil if there is none yet.
func parseSASLInitial(body []byte) (mechanism string, data []byte, err error) {
	name, rest, ok := bytes.Cut(body, []byte{0})
	if !ok || len(rest) < 4 {
		return "", nil, scramViolation("invalid SASLInitialResponse message", "")
	}
	size, data := binary.BigEndian.Uint32(rest), rest[4:]
	if size == 1<<32-1 && len(data) == 0 {
		return string(name), nil, nil
	}
	if uint64(size) != uint64(len(data)) {
		return "", nil, scramViolation("invalid SASLInitialResponse message", "")
	}
	return string(name), data, nil
}

// scramViolation is a protocol error in the server's words.
func scramViolation(message, detail string) error {
	return &startupError{Code: "08P01", Message: message, Detail: detail}
}

func scramMalformed(detail string) error { return scramViolation("malformed SCRAM message", detail) }

// A scramExchange is the server's side of one exchange, without I/O: choose,
// first, final, in this order.
type scramExchange struct {
	user    protocol.SCRAM
	binding []byte // hash of our certificate; nil: no channel binding to offer
	nonce   string // our part

	plus      bool
	gs2       string // the client's GS2 header as sent
	firstBare string // client-first-message-bare
	firstOurs string // server-first-message
	combined  string // both nonces
}

func newScramExchange(user protocol.SCRAM, binding []byte) *scramExchange {
	raw := make([]byte, scramNonceBytes)
	rand.Read(raw) // never fails: crypto/rand ends the process instead
	return &scramExchange{user: user, binding: binding, nonce: base64.StdEncoding.EncodeToString(raw)}
}

// mechanisms are what is offered, strongest first.
func (x *scramExchange) mechanisms() []string {
	if x.binding == nil {
		return []string{scramName}
	}
	return []string{scramPlusName, scramName}
}

func (x *scramExchange) choose(mechanism string) error {
	switch {
	case mechanism == scramPlusName && x.binding != nil:
		x.plus = true
	case mechanism != scramName:
		return scramViolation("client selected an invalid SASL authentication mechanism", "")
	}
	return nil
}

// first answers client-first-message with server-first-message.
func (x *scramExchange) first(message []byte) ([]byte, error) {
	bare, err := x.header(string(message))
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(bare, "m=") {
		return nil, &startupError{Code: "0A000", Message: "client requires an unsupported SCRAM extension"}
	}
	parts := strings.SplitN(bare, ",", 3)
	if len(parts) < 2 || !strings.HasPrefix(parts[0], "n=") || !strings.HasPrefix(parts[1], "r=") {
		return nil, scramMalformed("")
	}
	nonce := parts[1][len("r="):]
	if !scramPrintable(nonce) {
		return nil, scramViolation("non-printable characters in SCRAM nonce", "")
	}
	// The user's name in parts[0] is ignored, as the server does: the one of
	// the StartupMessage counts.
	x.firstBare, x.combined = bare, nonce+x.nonce
	x.firstOurs = fmt.Sprintf("r=%s,s=%s,i=%d", x.combined, base64.StdEncoding.EncodeToString(x.user.Salt), x.user.Iterations)
	return []byte(x.firstOurs), nil
}

// header checks the GS2 header and returns what follows it.
func (x *scramExchange) header(message string) (bare string, err error) {
	flag, rest, ok := strings.Cut(message, ",")
	if !ok {
		return "", scramMalformed("")
	}
	if err := x.flag(flag); err != nil {
		return "", err
	}
	authzid, bare, ok := strings.Cut(rest, ",")
	if !ok {
		return "", scramMalformed("")
	}
	if authzid != "" {
		return "", &startupError{Code: "0A000", Message: "client uses authorization identity, but it is not supported"}
	}
	x.gs2 = flag + ",,"
	return bare, nil
}

// flag checks the client's word on channel binding against the truth. A client
// that could bind but believes that we cannot has been lied to by somebody who
// cut the stronger mechanism from our offer: that must not pass.
func (x *scramExchange) flag(flag string) error {
	kind, bound := strings.CutPrefix(flag, "p=")
	switch {
	case flag == "n" && x.plus, flag == "y" && x.plus:
		return scramMalformed("The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data.")
	case flag == "y" && x.binding != nil:
		return &startupError{Code: "28000", Message: "SCRAM channel binding negotiation error",
			Detail: "The client supports SCRAM channel binding but thinks the server does not.  However, this server does support channel binding."}
	case flag == "n", flag == "y":
		return nil
	case !bound:
		return scramMalformed("")
	case !x.plus:
		return scramMalformed("The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel binding data.")
	case kind != scramBinding:
		return scramViolation("unsupported SCRAM channel-binding type", "")
	}
	return nil
}

// scramPrintable is RFC 5802's "printable": ASCII without space and comma. The
// comma cannot occur here.
func scramPrintable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x21 || s[i] > 0x7e {
			return false
		}
	}
	return s != ""
}

// final checks client-final-message. A nil reply without an error means that
// the proof fits no credential.
func (x *scramExchange) final(message []byte) (reply []byte, login protocol.Login, err error) {
	text := string(message)
	at := strings.LastIndex(text, ",p=")
	if at < 0 {
		return nil, login, scramMalformed("")
	}
	without, proof64 := text[:at], text[at+len(",p="):]
	if err := x.bound(without); err != nil {
		return nil, login, err
	}
	proof, err := base64.StdEncoding.Strict().DecodeString(proof64)
	if err != nil || len(proof) != sha256.Size {
		return nil, login, scramMalformed("Malformed proof in client-final-message.")
	}
	auth := x.firstBare + "," + x.firstOurs + "," + without
	v, ok := scramMatch(x.user.Verifiers, proof, auth)
	if !ok {
		return nil, login, nil
	}
	signature := scramHMAC(v.ServerKey, auth)
	return []byte("v=" + base64.StdEncoding.EncodeToString(signature)), v.Login, nil
}

// bound checks channel binding and nonce, the first two attributes.
func (x *scramExchange) bound(without string) error {
	parts := strings.SplitN(without, ",", 3)
	if len(parts) < 2 || !strings.HasPrefix(parts[0], "c=") || !strings.HasPrefix(parts[1], "r=") {
		return scramMalformed("")
	}
	want := []byte(x.gs2)
	if x.plus {
		want = append(want, x.binding...)
	}
	if parts[0][len("c="):] != base64.StdEncoding.EncodeToString(want) {
		if x.plus {
			return &startupError{Code: "28000", Message: "SCRAM channel binding check failed"}
		}
		return scramViolation("unexpected SCRAM channel-binding attribute in client-final-message", "")
	}
	if subtle.ConstantTimeCompare([]byte(parts[1][len("r="):]), []byte(x.combined)) != 1 {
		return scramViolation("invalid SCRAM response", "Nonce does not match.")
	}
	return nil
}

// scramMatch finds the credential that the proof was made with. All are tried,
// and one that fits nothing, so that the time tells neither which one matched
// nor that a user does not exist.
func scramMatch(verifiers []protocol.Verifier, proof []byte, auth string) (found protocol.Verifier, ok bool) {
	scramProves(make([]byte, sha256.Size), proof, auth)
	for _, v := range verifiers {
		if scramProves(v.StoredKey, proof, auth) && v.Login.Subject.ID != "" && !ok {
			found, ok = v, true
		}
	}
	return found, ok
}

// scramProves is RFC 5802, section 3: ClientKey = proof XOR HMAC(StoredKey,
// AuthMessage), and H(ClientKey) must be StoredKey.
func scramProves(stored, proof []byte, auth string) bool {
	key := scramHMAC(stored, auth)
	subtle.XORBytes(key, key, proof)
	sum := sha256.Sum256(key)
	return subtle.ConstantTimeCompare(sum[:], stored) == 1
}

func scramHMAC(key []byte, message string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(message))
	return m.Sum(nil)
}
