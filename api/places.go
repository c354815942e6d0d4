package api

import (
	"context"
	"sync"
)

// places bounds what each caller holds at once, so that nobody takes what is for
// all. It remembers only who holds something. Safe for concurrent use.
type places struct {
	each int // places of one caller

	mu   sync.Mutex // guards held
	held map[string]*place
}

type place struct {
	free  chan struct{} // holds a value for each place taken
	users int           // who hold one or wait
}

func newPlaces(each int) *places { return &places{each: each, held: map[string]*place{}} }

// enter takes a place of who's, and waits for one as long as ctx lets it. leave
// gives it back.
func (p *places) enter(ctx context.Context, who string) (leave func(), err error) {
	at := p.visit(who)
	select {
	case at.free <- struct{}{}:
		return func() { <-at.free; p.left(who, at) }, nil
	case <-ctx.Done():
		p.left(who, at)
		return nil, ctx.Err()
	}
}

// try is enter without waiting; false: all are taken.
func (p *places) try(who string) (leave func(), ok bool) {
	at := p.visit(who)
	select {
	case at.free <- struct{}{}:
		return func() { <-at.free; p.left(who, at) }, true
	default:
		p.left(who, at)
		return nil, false
	}
}

func (p *places) visit(who string) *place {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.held[who]
	if at == nil {
		at = &place{free: make(chan struct{}, p.each)}
		p.held[who] = at
	}
	at.users++
	return at
}

func (p *places) left(who string, at *place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at.users--; at.users == 0 {
		delete(p.held, who)
	}
}
