package recording

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// A Chunk is what the journal keeps of a sealed piece of a recording.
type Chunk struct {
	Index  int // from 0
	Offset int64
	Size   int // compressed, without the chunk's head
	Hash   [HashSize]byte
}

// Event returns the chunk as the journal keeps it, in an event's Extra.
func (c Chunk) Event(file string) map[string]any {
	return map[string]any{"file": file, "chunk": c.Index, "offset": c.Offset, "size": c.Size, "sha256": hex.EncodeToString(c.Hash[:])}
}

// ParseChunk is the inverse of Chunk.Event, for an event read from the journal.
func ParseChunk(extra map[string]any) (Chunk, error) {
	index, ok1 := extra["chunk"].(float64)
	offset, ok2 := extra["offset"].(float64)
	size, ok3 := extra["size"].(float64)
	sum, ok4 := extra["sha256"].(string)
	c := Chunk{Index: int(index), Offset: int64(offset), Size: int(size)}
	if n, err := hex.Decode(c.Hash[:], []byte(sum[:min(len(sum), 2*HashSize)])); !ok1 || !ok2 || !ok3 || !ok4 || err != nil || n != HashSize {
		return Chunk{}, errors.New("recording: the event is about no chunk")
	}
	return c, nil
}

// A Compressor compresses chunks. One can serve any number of writers; it is
// safe for concurrent use.
type Compressor struct{ enc *zstd.Encoder }

// NewCompressor returns a compressor that works in its caller's goroutine.
func NewCompressor() (*Compressor, error) {
	// The window bounds the memory of writer and reader alike.
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithWindowSize(ChunkSize), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	return &Compressor{enc}, nil
}

// A Writer writes one recording. It is not safe for concurrent use.
type Writer struct {
	w     io.Writer
	zip   *Compressor
	plain []byte // frames of the open chunk
	out   []byte
	off   int64
	index int
	head  [HashSize]byte // of the header
}

// NewWriter begins a recording by writing its header to w.
func NewWriter(w io.Writer, h Header, zip *Compressor) (*Writer, error) {
	head, err := appendHeader(nil, &h)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(head); err != nil {
		return nil, fmt.Errorf("recording: write: %w", err)
	}
	return &Writer{w: w, zip: zip, off: int64(len(head)), head: sha256.Sum256(head)}, nil
}

// Append adds encoded frames (of AppendFrame) to the open chunk and reports
// whether it is full: then Seal is due.
func (w *Writer) Append(frames []byte) (full bool) {
	w.plain = append(w.plain, frames...)
	return len(w.plain) >= ChunkSize
}

// Seal writes the open chunk out and begins a new one. ok is false if there was
// nothing to write. After an error the recording must be given up.
func (w *Writer) Seal() (c Chunk, ok bool, err error) {
	if len(w.plain) == 0 {
		return Chunk{}, false, nil
	}
	w.out = append(w.out[:0], zeroHead[:]...)
	w.out = w.zip.enc.EncodeAll(w.plain, w.out)
	body := w.out[chunkHead:]
	if len(w.plain) > maxPlain || len(body) > maxChunk {
		return Chunk{}, false, fmt.Errorf("recording: write: a chunk of %d bytes is too large", len(w.plain))
	}
	c = Chunk{Index: w.index, Offset: w.off, Size: len(body), Hash: chunkHash(w.head, w.index, body)}
	copy(w.out, chunkMagic)
	binary.LittleEndian.PutUint32(w.out[4:], uint32(len(body)))
	copy(w.out[8:], c.Hash[:])
	if _, err := w.w.Write(w.out); err != nil {
		return Chunk{}, false, fmt.Errorf("recording: write: %w", err)
	}
	w.off += int64(len(w.out))
	w.index++
	w.plain = w.plain[:0]
	return c, true, nil
}

var zeroHead [chunkHead]byte

// Size returns how many bytes were written so far.
func (w *Writer) Size() int64 { return w.off }
