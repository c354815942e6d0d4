package recording

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// A Reader reads one recording, frame after frame. It is not safe for
// concurrent use.
type Reader struct {
	Header Header

	r     *bufio.Reader
	dec   *zstd.Decoder
	plain []byte
	body  []byte
	off   int64
	head  [HashSize]byte // of the header
	chunk Chunk          // the one in hand; its Index is -1 before the first
}

// NewReader reads a recording from src. Close it.
func NewReader(src io.Reader) (*Reader, error) {
	r := &Reader{r: bufio.NewReaderSize(src, 64<<10)}
	r.chunk.Index = -1
	if err := r.header(); err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPlain), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("recording: open: %w", err)
	}
	r.dec = dec
	return r, nil
}

func (r *Reader) header() error {
	var head [len(fileMagic) + 4]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil || string(head[:len(fileMagic)]) != fileMagic {
		return fmt.Errorf("recording: open: %w", ErrFormat)
	}
	n := binary.LittleEndian.Uint32(head[len(fileMagic):])
	if n > maxHeader {
		return fmt.Errorf("recording: open: %w", ErrFormat)
	}
	j := make([]byte, n)
	if _, err := io.ReadFull(r.r, j); err != nil {
		return fmt.Errorf("recording: open: %w", ErrFormat)
	}
	if err := json.Unmarshal(j, &r.Header); err != nil {
		return fmt.Errorf("recording: open: %w", ErrFormat)
	}
	r.off = int64(len(head)) + int64(n)
	r.head = sha256.Sum256(append(head[:], j...))
	return nil
}

// Close releases what the reader holds, but not its source.
func (r *Reader) Close() { r.dec.Close() }

// Next returns the next frame; its Data is valid until the call after. At the
// end the error is io.EOF; io.ErrUnexpectedEOF if the recording was cut off
// within a chunk. Damage is ErrFormat.
func (r *Reader) Next() (Frame, error) {
	for len(r.plain) == 0 {
		if err := r.nextChunk(); err != nil {
			return Frame{}, err
		}
	}
	f, rest, err := decodeFrame(r.plain)
	if err != nil {
		return Frame{}, fmt.Errorf("recording: chunk %d: %w", r.chunk.Index, err)
	}
	r.plain = rest
	return f, nil
}

func (r *Reader) nextChunk() error {
	if err := r.rawChunk(); err != nil {
		return err
	}
	plain, err := r.dec.DecodeAll(r.body, r.plain[:0])
	if err != nil || len(plain) > maxPlain {
		return fmt.Errorf("recording: chunk %d: %w", r.chunk.Index, ErrFormat)
	}
	r.plain = plain
	return nil
}

// rawChunk reads a chunk and checks its own hash, without decompressing.
func (r *Reader) rawChunk() error {
	var head [chunkHead]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		return err
	}
	n := binary.LittleEndian.Uint32(head[4:])
	if string(head[:4]) != chunkMagic || n > maxChunk {
		return fmt.Errorf("recording: chunk %d: %w", r.chunk.Index+1, ErrFormat)
	}
	if cap(r.body) < int(n) {
		r.body = make([]byte, n)
	}
	r.body = r.body[:n]
	if _, err := io.ReadFull(r.r, r.body); err != nil {
		return io.ErrUnexpectedEOF
	}
	r.chunk = Chunk{Index: r.chunk.Index + 1, Offset: r.off, Size: int(n), Hash: chunkHash(r.head, r.chunk.Index+1, r.body)}
	r.off += chunkHead + int64(n)
	if !bytes.Equal(head[8:], r.chunk.Hash[:]) {
		return fmt.Errorf("recording: chunk %d: %w", r.chunk.Index, ErrFormat)
	}
	return nil
}

// Verify checks a recording against the hashes that the journal keeps of it,
// in order, and returns what is wrong. Chunks beyond the journal's are reported,
// too.
func Verify(src io.Reader, want []Chunk) error {
	r, err := NewReader(src)
	if err != nil {
		return err
	}
	defer r.Close()
	for i := range want {
		if err := r.rawChunk(); err != nil {
			return fmt.Errorf("recording: verify: chunk %d of %d: %w", i, len(want), noEOF(err))
		}
		if r.chunk.Hash != want[i].Hash {
			return fmt.Errorf("recording: verify: chunk %d is not what was recorded", i)
		}
	}
	if err := r.rawChunk(); !errors.Is(err, io.EOF) {
		return errors.New("recording: verify: there is more than the journal knows of")
	}
	return nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
