package recording

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var head = Header{Session: "s-1", Subject: "local/alice", Resource: "shop", Content: "postgres-wire", Start: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)}

func compressor(tb testing.TB) *Compressor {
	c, err := NewCompressor()
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// write makes a recording of frames, sealing where full, and returns its
// bytes and chunks.
func write(tb testing.TB, frames []Frame) ([]byte, []Chunk) {
	var out bytes.Buffer
	w, err := NewWriter(&out, head, compressor(tb))
	if err != nil {
		tb.Fatal(err)
	}
	var chunks []Chunk
	seal := func() {
		c, ok, err := w.Seal()
		if err != nil {
			tb.Fatal(err)
		}
		if ok {
			chunks = append(chunks, c)
		}
	}
	for i := range frames {
		if w.Append(AppendFrame(nil, &frames[i])) {
			seal()
		}
	}
	seal()
	if w.Size() != int64(out.Len()) {
		tb.Errorf("Size %d, written %d", w.Size(), out.Len())
	}
	return out.Bytes(), chunks
}

func read(tb testing.TB, b []byte) ([]Frame, error) {
	r, err := NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if r.Header != head {
		tb.Errorf("header %+v", r.Header)
	}
	var all []Frame
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		f.Data = bytes.Clone(f.Data)
		all = append(all, f)
	}
}

func sample() []Frame {
	return []Frame{
		{At: 0, Kind: Input, Ref: "d-1", Data: []byte("select 1")},
		{At: 1500 * time.Microsecond, Kind: Output, Ref: "d-1", Data: []byte{0, 1, 2, 255}},
		{At: time.Hour, Kind: Note, Data: []byte("waiting"), Truncated: 1 << 40},
		{At: time.Hour, Kind: Output, Ref: "d-2", Data: []byte{}, Truncated: 7},
		{At: 2 * time.Hour, Kind: Output, Ref: "d-2", Data: bytes.Repeat([]byte("x"), MaxFrame)},
	}
}

func TestRoundTrip(t *testing.T) {
	b, chunks := write(t, sample())
	got, err := read(t, b)
	if err != nil || !reflect.DeepEqual(got, sample()) {
		t.Errorf("%+v %v", got, err)
	}
	if err := Verify(bytes.NewReader(b), chunks); err != nil {
		t.Error(err)
	}
}

func TestManyChunks(t *testing.T) {
	var frames []Frame
	for i := range 200 {
		data := make([]byte, 10_000)
		for k := range data {
			data[k] = byte(i*k + k>>3)
		}
		frames = append(frames, Frame{At: time.Duration(i) * time.Second, Kind: Output, Data: data})
	}
	b, chunks := write(t, frames)
	if len(chunks) < 5 {
		t.Fatalf("%d chunks", len(chunks))
	}
	got, err := read(t, b)
	if err != nil || !reflect.DeepEqual(got, frames) {
		t.Errorf("%d frames, %v", len(got), err)
	}
	for at := len(fileMagic); at < len(b); at += 911 {
		c := bytes.Clone(b)
		c[at] ^= 1
		if err := Verify(bytes.NewReader(c), chunks); err == nil {
			t.Errorf("a flipped byte at %d goes unnoticed", at)
		}
	}
}

func TestCutOff(t *testing.T) {
	b, chunks := write(t, sample())
	for cut := range b {
		_, err := read(t, b[:cut])
		whole := cut == int(chunks[0].Offset)
		if whole != (err == nil) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
}

func TestVerifyRecording(t *testing.T) {
	one, first := write(t, sample())
	other, second := write(t, sample()[:2])
	for what, err := range map[string]error{
		"another recording":     Verify(bytes.NewReader(other), first),
		"a chunk too few":       Verify(bytes.NewReader(one), append(first, second...)),
		"a chunk too many":      Verify(bytes.NewReader(one), nil),
		"no recording at all":   Verify(strings.NewReader("hello"), first),
		"one that was cut off":  Verify(bytes.NewReader(one[:len(one)-1]), first),
		"one with bytes behind": Verify(bytes.NewReader(append(bytes.Clone(one), 0)), first),
	} {
		if err == nil {
			t.Errorf("%s verifies", what)
		}
	}
}

func TestChunkEvent(t *testing.T) {
	c := Chunk{Index: 3, Offset: 1 << 40, Size: 77, Hash: [HashSize]byte{1, 2}}
	extra := c.Event("f")
	extra["chunk"], extra["offset"], extra["size"] = 3.0, float64(1<<40), 77.0 // as JSON gives them back
	if got, err := ParseChunk(extra); err != nil || got != c {
		t.Errorf("%+v %v", got, err)
	}
	for _, key := range []string{"chunk", "offset", "size", "sha256"} {
		bad := c.Event("f")
		bad["chunk"], bad["offset"], bad["size"] = 3.0, 4.0, 77.0
		bad[key] = "zz"
		if _, err := ParseChunk(bad); err == nil {
			t.Errorf("a bad %s is accepted", key)
		}
	}
}

func TestFramesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := Frame{
			At:   time.Duration(rapid.Int64Range(0, 1<<50).Draw(t, "at")) * time.Microsecond,
			Kind: Kind(rapid.IntRange(1, 3).Draw(t, "kind")), Ref: rapid.StringN(0, 10, maxRef).Draw(t, "ref"),
			Data: rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "data"), Truncated: rapid.Int64Range(0, 1<<62).Draw(t, "truncated"),
		}
		got, rest, err := decodeFrame(append(AppendFrame(nil, &f), 9))
		if err != nil || len(rest) != 1 || got.At != f.At || got.Kind != f.Kind || got.Ref != f.Ref || got.Truncated != f.Truncated || !bytes.Equal(got.Data, f.Data) {
			t.Fatalf("%+v %v", got, err)
		}
	})
}

func FuzzReader(f *testing.F) {
	b, _ := write(f, sample())
	f.Add(b)
	f.Add(b[:len(b)-3])
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := NewReader(bytes.NewReader(b))
		if err != nil {
			return
		}
		defer r.Close()
		for {
			fr, err := r.Next()
			if err != nil {
				return
			}
			if len(fr.Data) > MaxFrame || len(fr.Ref) > maxRef {
				t.Fatal("beyond the limits")
			}
		}
	})
}

func FuzzFrame(f *testing.F) {
	for _, fr := range sample()[:4] {
		f.Add(AppendFrame(nil, &fr))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fr, rest, err := decodeFrame(b)
		if err != nil {
			return
		}
		again, _, err := decodeFrame(AppendFrame(nil, &fr))
		if err != nil || !reflect.DeepEqual(again, fr) {
			t.Fatalf("%+v became %+v (%d left, %v)", fr, again, len(rest), err)
		}
	})
}
