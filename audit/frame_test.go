package audit

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"
)

// frames builds a chain of n sealed frames with bodies of growing size.
func frames(tb testing.TB, n int) ([]byte, []Hash) {
	var all []byte
	var leaves []Hash
	var head Hash
	for i := range n {
		var err error
		at := len(all)
		all, err = AppendFrame(all, time.UnixMicro(int64(1e15)+int64(i)), &[saltSize]byte{byte(i)}, func(b []byte) []byte {
			return append(append(b, 0, 0), bytes.Repeat([]byte{'a' + byte(i%26)}, 30+i*7)...)
		})
		if err != nil {
			tb.Fatal(err)
		}
		Number(all[at:], uint64(i+1))
		var leaf Hash
		leaf, head = Seal(all[at:], i, head)
		leaves = append(leaves, leaf)
	}
	return all, leaves
}

func TestFrameRoundTrip(t *testing.T) {
	all, leaves := frames(t, 40)
	var head Hash
	for i := range 40 {
		f, err := DecodeFrame(all)
		if err != nil {
			t.Fatal(err)
		}
		if f.Seq != uint64(i+1) || f.Back != i || f.Leaf() != leaves[i] || f.Chain != Chain(head, leaves[i]) || f.Time() != time.UnixMicro(int64(1e15)+int64(i)).UTC() {
			t.Fatalf("frame %d: %+v", i, f)
		}
		if len(f.JSON()) != 30+i*7 || f.Size()%FrameAlign != 0 {
			t.Fatalf("frame %d: %d bytes of JSON, size %d", i, len(f.JSON()), f.Size())
		}
		head, all = f.Chain, all[f.Size():]
	}
	if len(all) != 0 {
		t.Errorf("%d bytes are left", len(all))
	}
}

// Erasing changes neither size nor leaf nor chain, and leaves nothing of the body.
func TestEraseFrame(t *testing.T) {
	all, leaves := frames(t, 3)
	first, _ := DecodeFrame(all)
	f, err := DecodeFrame(all[first.Size():])
	if err != nil {
		t.Fatal(err)
	}
	erased := f.Erase()
	if bytes.Contains(erased, []byte("bbbb")) || len(erased) != f.Size() {
		t.Errorf("erased to %q", erased)
	}
	g, err := DecodeFrame(erased)
	if err != nil {
		t.Fatal(err)
	}
	if !g.Erased() || g.Leaf() != leaves[1] || g.Chain != f.Chain || g.Seq != f.Seq || g.JSON() != nil {
		t.Errorf("%+v", g)
	}
	if again := g.Erase(); !bytes.Equal(again, erased) {
		t.Error("erasing twice differs")
	}
}

func TestFrameRefusesSizes(t *testing.T) {
	for _, n := range []int{0, minBody - 1, MaxBody + 1} {
		if _, err := AppendFrame(nil, time.Time{}, new([saltSize]byte), func(b []byte) []byte { return append(b, make([]byte, n)...) }); err == nil {
			t.Errorf("a body of %d bytes is accepted", n)
		}
	}
}

// A reader that gives a few bytes at a time must not change what is read.
func TestScannerAcrossBuffers(t *testing.T) {
	all, _ := frames(t, 3000) // frames of up to 21 KB, 30 MB in all
	s := NewScanner(bytes.NewReader(append(all, make([]byte, 100)...)), 0)
	for i := range 3000 {
		off := s.Offset()
		f, err := s.Next()
		if err != nil || f.Seq != uint64(i+1) || s.Offset() != off+int64(f.Size()) {
			t.Fatalf("frame %d: %v %v", i+1, f.Seq, err)
		}
	}
	for range 2 {
		if _, err := s.Next(); !errors.Is(err, ErrEnd) {
			t.Errorf("at the end: %v", err)
		}
	}
}

func FuzzScanner(f *testing.F) {
	all, _ := frames(f, 5)
	f.Add(all)
	f.Add(all[:len(all)-5])
	f.Add(make([]byte, 200))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := NewScanner(bytes.NewReader(b), 0)
		for {
			fr, err := s.Next()
			if err != nil {
				if !errors.Is(err, ErrEnd) && !errors.Is(err, ErrFrame) {
					t.Fatal(err)
				}
				return
			}
			fr.Leaf()
			fr.JSON()
			if g, err := DecodeFrame(fr.Erase()); err != nil || g.Leaf() != fr.Leaf() {
				t.Fatalf("an erased frame is not what it was: %v", err)
			}
		}
	})
}

func FuzzSegmentHeader(f *testing.F) {
	h := SegmentHeader{First: 7, Prev: Hash{1}, Log: [16]byte{2}, Created: time.UnixMicro(3).UTC()}
	f.Add(h.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseSegmentHeader(b)
		if err == nil && !bytes.Equal(h.Append(nil)[:72], b[:72]) {
			t.Fatal("does not round-trip")
		}
	})
}

func FuzzLeaves(f *testing.F) {
	f.Add(AppendLeaves(AppendLeavesHeader(nil, 6, []Hash{{1}, {2}}), []Hash{{3}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		tree, leaves, err := ParseLeaves(b)
		if err != nil {
			return
		}
		again := AppendLeaves(AppendLeavesHeader(nil, tree.Size()+1, tree.Edge()), leaves)
		if !bytes.Equal(again, b[:len(again)]) {
			t.Fatal("does not round-trip")
		}
	})
}

func FuzzCheckpoints(f *testing.F) {
	c := Checkpoint{Origin: "sluice/audit/x", Size: 3, Time: time.UnixMicro(5)}
	f.Add([]byte(c.Text() + "\n\u2014 x AAAA\n" + c.Text() + "\n\u2014 x AAAA\n\u2014 y BBBB\n" + c.Text()))
	f.Fuzz(func(t *testing.T, b []byte) {
		parts := SplitCheckpoints(b)
		if all := slices.Concat(parts...); !bytes.HasPrefix(b, all) {
			t.Fatal("parts are not the beginning of the whole")
		}
		parseCheckpoint(string(b))
	})
}

func TestSplitCheckpoints(t *testing.T) {
	one := "o\n1\n\n\u2014 k AA\n"
	two := "o\n2\n\n\u2014 k AA\n\u2014 w BB\n"
	got := SplitCheckpoints([]byte(one + two + "o\n3\n\n\u2014 k A"))
	if len(got) != 2 || string(got[0]) != one || string(got[1]) != two {
		t.Errorf("%q", got)
	}
}

func TestCheckpointText(t *testing.T) {
	c := Checkpoint{Origin: "sluice/audit/x", Size: 1 << 40, Root: Hash{1}, Chain: Hash{2}, Time: time.UnixMicro(1e15).UTC()}
	got, err := parseCheckpoint(c.Text())
	if err != nil || got != c {
		t.Errorf("%+v %v", got, err)
	}
}

// hashes is the storage that tlog wants.
type hashes []tlog.Hash

func (h hashes) ReadHashes(ix []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(ix))
	for i, x := range ix {
		out[i] = h[x]
	}
	return out, nil
}

// Our tree is RFC 6962's, as golang.org/x/mod/sumdb/tlog computes it, and can
// be put down and taken up at every size.
func TestTreeIsRFC6962(t *testing.T) {
	var tree Tree
	var stored hashes
	for i := range 300 {
		leaf := Hash(tlog.RecordHash([]byte{byte(i), byte(i >> 8)}))
		more, err := tlog.StoredHashesForRecordHash(int64(i), tlog.Hash(leaf), stored)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, more...)
		back, ok := RestoreTree(tree.Size(), tree.Edge())
		if !ok {
			t.Fatal("does not restore")
		}
		tree = *back
		tree.Add(leaf)
		want, err := tlog.TreeHash(int64(i+1), stored)
		if err != nil {
			t.Fatal(err)
		}
		if tree.Root() != Hash(want) {
			t.Fatalf("root over %d leaves differs", i+1)
		}
	}
}

func TestTagsHaveNoFalseNegatives(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind, s := rapid.Byte().Draw(t, "kind"), rapid.String().Draw(t, "s")
		if tag(kind, s) != tag(kind, string([]byte(s))) {
			t.Fatal("not a function")
		}
	})
	seen := map[Tag]string{}
	for _, s := range []string{"", "a", "b", "ab", "ba", "abcdefgh", "abcdefgi", "abcdefgh\x00", "abcdefghabcdefgh", "customers", "customer"} {
		if other, ok := seen[tag(1, s)]; ok {
			t.Errorf("%q and %q have the same tag", s, other)
		}
		seen[tag(1, s)] = s
	}
	if tag(1, "x") == tag(2, "x") {
		t.Error("kinds are not told apart")
	}
}

func TestScannerReportsReadErrors(t *testing.T) {
	s := NewScanner(broken{}, 0)
	if _, err := s.Next(); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v", err)
	}
}

type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { return 0, io.ErrClosedPipe }
