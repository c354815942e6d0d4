package audit

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// A Checkpoint is a signed statement about a journal: it had this many records,
// and these hashes. Its text is a C2SP tlog-checkpoint with two extension
// lines, so that witnesses and other tools of that family can cosign and keep
// it:
//
//	sluice/audit/4f1d6c...
//	12345
//	(base64 of the RFC 6962 root over all leaves)
//	chain (base64 of the chain hash of record 12345)
//	time 2026-11-20T14:10:28.000000Z
type Checkpoint struct {
	Origin string
	Size   uint64 // sequence number of the last record covered
	Root   Hash
	Chain  Hash
	Time   time.Time
}

// maxCheckpoint bounds one signed checkpoint, cosignatures included.
const maxCheckpoint = 16 << 10

// Text returns the note's text.
func (c *Checkpoint) Text() string {
	b := fmt.Appendf(nil, "%s\n%d\n%s\nchain %s\ntime ", c.Origin, c.Size,
		base64.StdEncoding.EncodeToString(c.Root[:]), base64.StdEncoding.EncodeToString(c.Chain[:]))
	return string(append(appendTime(b, c.Time), '\n'))
}

// Sign returns the checkpoint as a signed note.
func (c *Checkpoint) Sign(s note.Signer) ([]byte, error) {
	b, err := note.Sign(&note.Note{Text: c.Text()}, s)
	if err != nil {
		return nil, fmt.Errorf("audit: sign checkpoint: %w", err)
	}
	return b, nil
}

// OpenCheckpoint verifies a signed checkpoint and parses it. Signatures by
// others (witnesses) are allowed beside v's.
func OpenCheckpoint(signed []byte, v note.Verifier) (Checkpoint, error) {
	if len(signed) > maxCheckpoint {
		return Checkpoint{}, errors.New("audit: open checkpoint: too long")
	}
	n, err := note.Open(signed, note.VerifierList(v))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("audit: open checkpoint: %w", err)
	}
	return parseCheckpoint(n.Text)
}

var errCheckpoint = errors.New("audit: malformed checkpoint")

func parseCheckpoint(text string) (c Checkpoint, err error) {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) < 5 || lines[0] == "" {
		return c, errCheckpoint
	}
	c.Origin = lines[0]
	if c.Size, err = strconv.ParseUint(lines[1], 10, 64); err != nil {
		return c, errCheckpoint
	}
	chain, ok := strings.CutPrefix(lines[3], "chain ")
	at, ok2 := strings.CutPrefix(lines[4], "time ")
	if !ok || !ok2 || !decodeHash(&c.Root, lines[2]) || !decodeHash(&c.Chain, chain) {
		return c, errCheckpoint
	}
	if c.Time, err = time.Parse(time.RFC3339Nano, at); err != nil {
		return c, errCheckpoint
	}
	return c, nil
}

func decodeHash(h *Hash, s string) bool {
	b, err := base64.StdEncoding.DecodeString(s)
	return err == nil && copy(h[:], b) == len(h) && len(b) == len(h)
}

// SplitCheckpoints takes a file of signed checkpoints apart. One that was cut
// off while it was written, at the end, is left out.
func SplitCheckpoints(data []byte) [][]byte {
	var all [][]byte
	start, signed := 0, false
	for off := 0; off < len(data); {
		end := bytes.IndexByte(data[off:], '\n')
		if end < 0 {
			break
		}
		line := data[off : off+end+1]
		isSignature := bytes.HasPrefix(line, []byte("\u2014 "))
		if signed && !isSignature {
			all = append(all, data[start:off])
			start, signed = off, false
		}
		signed = signed || isSignature
		off += len(line)
		if off == len(data) && signed {
			all = append(all, data[start:off])
		}
	}
	return all
}
