package mask

import (
	"encoding/binary"
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// Whatever is remembered, hashes are those that everybody else computes.
func TestOwnHashesAreTheSame(t *testing.T) {
	shared := compile(t, "hash")
	rapid.Check(t, func(t *rapid.T) {
		own := shared.Own()
		few := rapid.IntRange(1, 600).Draw(t, "few")
		longest := rapid.IntRange(0, 2*memoText).Draw(t, "longest")
		pick := rapid.Uint64().Draw(t, "seed")
		for i := range aloneFrom + memoUntil + 100 {
			pick = pick*6364136223846793005 + 1442695040888963407
			n := int(pick>>33) % few
			text := fmt.Sprintf("%0*d", 1+n%(longest+1), n)
			number := binary.BigEndian.AppendUint64(nil, uint64(n)*uint64(n)*0x10001)
			for _, c := range []struct {
				kind  Kind
				value []byte
			}{{KindText, []byte(text)}, {KindInt8, number}, {KindBytea, number}} {
				want, _ := shared.Apply(nil, c.value, c.kind, true)
				if got, null := own.Apply(nil, c.value, c.kind, true); null || string(got) != string(want) {
					t.Fatalf("value %d, %s %q: %q, want %q", i, c.kind, c.value, got, want)
				}
			}
		}
	})
}

// A memo costs nothing where values do not come again, and next to nothing in
// short results.
func TestAMemoGivesUp(t *testing.T) {
	own := compile(t, "hash").Own()
	hash := func(n int) { own.Apply(nil, fmt.Append(nil, n), KindText, false) }
	for i := range aloneFrom - 1 {
		hash(i)
	}
	if own.keyed.own != nil {
		t.Error("it takes room for a short result")
	}
	for i := range memoUntil {
		hash(i)
	}
	if m := &own.keyed.own.memo; !m.off || m.texts != nil {
		t.Errorf("it goes on with %d of %d found", m.hits, m.tries)
	}
	own = own.Own()
	for i := range 3 * memoUntil {
		hash(i % 50)
	}
	if m := &own.keyed.own.memo; m.off || m.hits < m.tries/2 {
		t.Errorf("%d of %d found", m.hits, m.tries)
	}
}
