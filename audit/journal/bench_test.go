package journal

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sluice/access"
)

// typical is a decided action as most are: a cached statement, two arguments,
// one rule.
func typical() *access.Event {
	now := time.Now()
	return &access.Event{
		ID: "01936c5e-8a3f-7b21-9c4d-1234567890ab", Time: now, Type: access.ActionDecided, Session: "01936c5e-8a3f-7b21-9c4d-1234567890ac",
		Subject:  &access.Subject{Issuer: "local", ID: "alice", Kind: access.Human, Email: "alice@example.test", Groups: []string{"engineering"}},
		Resource: &access.Resource{Name: "shop", Protocol: "postgres", Address: "127.0.0.1:5432", Database: "shop"},
		Client:   &access.Client{Address: "127.0.0.1:51234", Program: "psql"},
		Action: &access.Action{
			Verb: access.VerbSelect, Op: "SELECT", Confidence: access.Exact, Pure: true, Origin: new(access.Origin),
			Text:    "SELECT o.id, o.total, c.name FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.id = $1 AND c.region = $2",
			Objects: []access.Object{{Kind: access.KindTable, Schema: "public", Name: "orders", Read: true}, {Kind: access.KindTable, Schema: "public", Name: "customers", Read: true}},
			Args:    []access.Arg{{Value: []byte("1234"), Type: 23}, {Value: []byte("north"), Type: 25}},
			SQL:     &access.SQL{Scoped: true, Limit: -1, Database: "shop"},
		},
		Decision: &access.Decision{
			ID: "01936c5e-8a3f-7b21-9c4d-1234567890ab", Effect: access.Allow, Policy: "9f86d081884c7d65",
			Reasons: []access.Reason{{Policy: "guardrails", Rule: "engineers", Effect: "allow", File: "policies/sql.yaml", Line: 12}},
		},
	}
}

// BenchmarkDurable reports, for several writers that each append and wait, the
// median and 99th percentile of the wait, and the CPU time of the whole
// process per record.
func BenchmarkDurable(b *testing.B) {
	for _, writers := range []int{1, 8, 32, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			j := mustOpen(b, Options{Dir: b.TempDir()})
			defer j.Close()
			mustAppend(b, j, typical())
			var mu sync.Mutex
			var all []time.Duration
			var wg sync.WaitGroup
			cpu := cpuTime()
			b.ResetTimer()
			for w := range writers {
				wg.Go(func() {
					e := typical()
					var mine []time.Duration
					for i := w; i < b.N; i += writers {
						t := time.Now()
						m, err := j.Append(e)
						if err == nil {
							err = j.Wait(context.Background(), m)
						}
						if err != nil {
							b.Error(err)
							return
						}
						mine = append(mine, time.Since(t))
					}
					mu.Lock()
					defer mu.Unlock()
					all = append(all, mine...)
				})
			}
			wg.Wait()
			b.StopTimer()
			slices.Sort(all)
			b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-us")
			b.ReportMetric(float64((cpuTime()-cpu).Nanoseconds())/float64(b.N)/1000, "cpu-us/op")
		})
	}
}

func cpuTime() time.Duration {
	var u unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkAppend is the cost on a statement's path, without the disk's wait.
func BenchmarkAppend(b *testing.B) {
	j := mustOpen(b, Options{Dir: b.TempDir(), Lazy: time.Second})
	defer j.Close()
	e := typical()
	e.Type = access.ActionCompleted
	mustAppend(b, j, e)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := j.Append(e); err != nil {
			b.Fatal(err)
		}
	}
}
