package uuid7

import (
	"testing"
	"time"
)

func TestOrderAndTime(t *testing.T) {
	base := time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)
	last := ""
	for i := range 3000 {
		at := base.Add(time.Duration(i) * time.Microsecond)
		id := New(at)
		if id <= last {
			t.Fatalf("%s is not after %s", id, last)
		}
		last = id
		got, err := Time(id)
		if err != nil || !got.Equal(at.Truncate(time.Millisecond)) {
			t.Fatalf("Time(%s) = %v, %v; want %v", id, got, err, at)
		}
	}
}

func TestTimeRefusesOthers(t *testing.T) {
	for _, id := range []string{"", "x", "0198f3a0-0000-4000-8000-000000000000", "zzzzzzzz-zzzz-7zzz-8zzz-zzzzzzzzzzzz"} {
		if _, err := Time(id); err == nil {
			t.Errorf("Time(%q) succeeded", id)
		}
	}
}
