package identity

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"sluice/access"
)

func fail(d *Directory, user, address string, times int) {
	for range times {
		d.Failed(user, address)
	}
}

func TestAddressIsSlowedDown(t *testing.T) {
	w := newWorld(alice())
	d := w.open(t)
	const at = "192.0.2.1:5000"
	for i := range addressBurst {
		if err := d.Allow("alice", at); err != nil {
			t.Fatalf("refused after %d failures: %v", i, err)
		}
		fail(d, "alice", at, 1)
	}
	err := d.Allow("alice", at)
	if !errors.Is(err, ErrThrottled) || !strings.Contains(err.Error(), "try again in 6s") {
		t.Fatal(err)
	}
	if d.Allow("bob", "192.0.2.1:6000") == nil {
		t.Error("another port or user got around it")
	}
	if d.Allow("alice", "192.0.2.2:5000") != nil {
		t.Error("another address is held up")
	}
	w.now = w.now.Add(addressEvery)
	if err := d.Allow("alice", at); err != nil {
		t.Errorf("not let in again: %v", err)
	}
	fail(d, "alice", at, 1000)
	w.now = w.now.Add(2 * addressEvery)
	if err := d.Allow("alice", at); err != nil {
		t.Errorf("a flood shuts an address out for long: %v", err)
	}
	if len(w.types()) != addressBurst+1000 || w.types()[0] != access.SessionRefused {
		t.Error("failures must be events")
	}
}

// Many addresses may guess one user's password only so fast, but cannot lock
// the user out.
func TestUserIsSlowedDownButNotLockedOut(t *testing.T) {
	d := newWorld(alice()).open(t)
	for i := range userBurst {
		fail(d, "alice", fmt.Sprintf("10.0.0.%d:1", i), 1)
	}
	if d.Allow("alice", "10.0.0.7:1") == nil {
		t.Error("a guesser goes on")
	}
	if err := d.Allow("alice", "192.0.2.1:1"); err != nil {
		t.Errorf("strangers locked alice out: %v", err)
	}
	if err := d.Allow("bob", "10.0.0.7:1"); err != nil {
		t.Errorf("bob pays for alice: %v", err)
	}
}

func TestPlace(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1:80":           "192.0.2.1",
		"192.0.2.1":              "192.0.2.1",
		"[::ffff:192.0.2.1]:80":  "192.0.2.1",
		"[2001:db8:1:2:3::4]:80": "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff::1":   "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80":      "fe80::/64",
		"":                       "unknown",
		"@":                      "unknown",
	} {
		if got := place(in); got != want {
			t.Errorf("place(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestThrottleIsBounded(t *testing.T) {
	b := newBuckets(addressBurst, addressEvery)
	long := strings.Repeat("x", 1000)
	for i := range maxTracked + 100 {
		b.hit(fmt.Sprint(i), noon)
	}
	b.hit(long, noon)
	if len(b.byKey) != maxTracked || b.order.Len() != maxTracked {
		t.Errorf("%d entries, limit %d", len(b.byKey), maxTracked)
	}
	if b.recent("0", noon) || !b.recent(long, noon) || !b.recent(long[:500], noon) {
		t.Error("the oldest goes first, and long keys count as their beginning")
	}
	if b.recent(long, noon.Add(time.Hour)) {
		t.Error("never forgotten")
	}
}
