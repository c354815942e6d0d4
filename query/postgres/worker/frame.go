package worker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Frames on the pipes are a kind, the length of the rest as four bytes, and
// the rest. Requests: parse a text, deparse a tree. Answers: the result, a
// syntax error with its position in the first four bytes, or another failure.
const (
	kindParse   = 'P'
	kindDeparse = 'D'
	kindResult  = 'R'
	kindSyntax  = 'S'
	kindFailed  = 'F'
)

const (
	maxRequest = 64 << 20  // a tree is some ten times its text, which has its own cap
	maxAnswer  = 256 << 20 // bytes of a tree
)

var errFrame = errors.New("malformed frame")

// writeFrame writes one frame in one call.
func writeFrame(w io.Writer, kind byte, body []byte) error {
	buf := make([]byte, 5, 5+len(body))
	buf[0] = kind
	binary.BigEndian.PutUint32(buf[1:], uint32(len(body)))
	_, err := w.Write(append(buf, body...))
	return err
}

// readFrame reads one frame. Memory grows with what arrives, not with what is
// announced.
func readFrame(r io.Reader, limit int) (kind byte, body []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := int64(binary.BigEndian.Uint32(head[1:]))
	if n > int64(limit) {
		return 0, nil, fmt.Errorf("%w: %d bytes", errFrame, n)
	}
	if n <= 1<<16 {
		body = make([]byte, n)
		_, err = io.ReadFull(r, body)
		return head[0], body, err
	}
	body, err = io.ReadAll(io.LimitReader(r, n))
	if err == nil && int64(len(body)) < n {
		err = io.ErrUnexpectedEOF
	}
	return head[0], body, err
}

// syntaxBody and parseSyntax carry a position and a message.
func syntaxBody(position int, message string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(max(position, 0)))
	return append(b, message...)
}

func parseSyntax(body []byte) (position int, message string, err error) {
	if len(body) < 4 {
		return 0, "", errFrame
	}
	return int(binary.BigEndian.Uint32(body)), string(body[4:]), nil
}
