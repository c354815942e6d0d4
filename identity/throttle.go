package identity

import (
	"container/list"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"sluice/access"
	"sluice/internal/uuid7"
)

// How fast somebody may guess. A burst is for people who mistype; the rate is
// what remains for a program.
const (
	addressBurst = 10
	addressEvery = 6 * time.Second
	userBurst    = 50
	userEvery    = 2 * time.Second

	// maxTracked bounds each table, at about 200 bytes an entry. To make it
	// forget an address a stranger needs as many other addresses.
	maxTracked = 1 << 15
)

// ErrThrottled is in the chain of what Allow returns.
var ErrThrottled = errors.New("too many failed attempts")

// A throttle counts failures. An address has a limit of its own. A user has a
// wider one, for guesses from many addresses; it only stops addresses that
// failed lately themselves, so that strangers cannot lock a user out.
type throttle struct {
	mu        sync.Mutex
	addresses buckets
	users     buckets
}

func newThrottle() *throttle {
	return &throttle{
		addresses: newBuckets(addressBurst, addressEvery),
		users:     newBuckets(userBurst, userEvery),
	}
}

func (t *throttle) failed(user, address string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.addresses.hit(place(address), now)
	t.users.hit(user, now)
}

// wait returns how long address must wait before it may try again for user.
func (t *throttle) wait(user, address string, now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := place(address)
	w := t.addresses.wait(at, now)
	if t.addresses.recent(at, now) {
		w = max(w, t.users.wait(user, now))
	}
	return w
}

// place is what counts as one address: an IPv4 address or an IPv6 /64, which
// one machine can move in freely.
func place(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return "unknown"
		}
		ip = ap.Addr()
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	net, _ := ip.Prefix(64)
	return net.String()
}

// buckets is a bounded table of leaky buckets (the generic cell rate algorithm:
// one time stamp each), the least recently hit forgotten first.
type buckets struct {
	burst time.Duration
	every time.Duration
	byKey map[string]*list.Element
	order *list.List // of *bucket, most recently hit first
}

type bucket struct {
	key  string
	full time.Time // when it will have leaked empty
}

func newBuckets(burst int, every time.Duration) buckets {
	return buckets{time.Duration(burst) * every, every, map[string]*list.Element{}, list.New()}
}

func (b *buckets) hit(key string, now time.Time) {
	if len(key) > maxKey {
		key = key[:maxKey]
	}
	e := b.byKey[key]
	if e == nil {
		b.evict()
		e = b.order.PushFront(&bucket{key: key})
		b.byKey[key] = e
	}
	b.order.MoveToFront(e)
	k := e.Value.(*bucket)
	if k.full.Before(now) {
		k.full = now
	}
	// Bounded, so that a flood does not shut a place out for hours.
	k.full = k.full.Add(b.every)
	if latest := now.Add(b.burst + b.every); k.full.After(latest) {
		k.full = latest
	}
}

// maxKey bounds what a stranger's user name may cost. It is longer than any
// real name.
const maxKey = 128

func (b *buckets) evict() {
	if b.order.Len() < maxTracked {
		return
	}
	last := b.order.Back()
	delete(b.byKey, last.Value.(*bucket).key)
	b.order.Remove(last)
}

func (b *buckets) fullAt(key string) time.Time {
	if len(key) > maxKey {
		key = key[:maxKey]
	}
	if e := b.byKey[key]; e != nil {
		return e.Value.(*bucket).full
	}
	return time.Time{}
}

// wait is how long until there is room for one more; zero: now.
func (b *buckets) wait(key string, now time.Time) time.Duration {
	return max(0, b.fullAt(key).Add(b.every-b.burst).Sub(now))
}

func (b *buckets) recent(key string, now time.Time) bool { return b.fullAt(key).After(now) }

// Allow reports whether address may try to log in as user now; the error says
// how long to wait and wraps [ErrThrottled].
func (d *Directory) Allow(user, address string) error {
	if w := d.throttle.wait(user, address, d.o.Now()); w > 0 {
		return fmt.Errorf("%w: try again in %s", ErrThrottled, (w + time.Second - 1).Truncate(time.Second))
	}
	return nil
}

// Failed counts a failed attempt and records it. Attempts that Allow refused
// are not reported here, so a guesser cannot flood the journal.
func (d *Directory) Failed(user, address string) {
	now := d.o.Now().UTC()
	d.throttle.failed(user, address, now)
	if len(user) > maxKey {
		user = user[:maxKey]
	}
	user = strings.ToValidUTF8(user, "?")
	// Not waited for: a refusal discloses nothing. A journal that fails stops
	// the gateway elsewhere.
	_, _ = d.o.Journal.Append(&access.Event{
		ID: uuid7.New(now), Time: now, Type: access.SessionRefused,
		Subject: &access.Subject{Issuer: Local, ID: user},
		Client:  &access.Client{Address: address},
		Message: "authentication failed",
	})
}
