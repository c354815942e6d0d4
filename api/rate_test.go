package api

import (
	"fmt"
	"testing"
	"time"
)

func TestRate(t *testing.T) {
	r := rate{most: 2, addresses: 3}
	for _, c := range []struct {
		after time.Duration
		from  string
		want  bool
	}{
		{0, "10.0.0.1:1", true}, {1, "10.0.0.1:2", true}, {2, "10.0.0.1:3", false}, {3, "10.0.0.2:1", true}, {4, "[::1]:1", true},
		{5, "10.0.0.3:1", false}, {6, "10.0.0.2:1", true}, // one address too many
		{time.Minute, "10.0.0.3:1", true}, {time.Minute + 1, "10.0.0.1:1", true},
	} {
		if got := r.allow(noon.Add(c.after), c.from); got != c.want {
			t.Errorf("%s after %v: %v", c.from, c.after, got)
		}
	}
}

// Strangers cannot make the gateway ask providers as often as they like.
func TestProvidersAreNotAskedTooOften(t *testing.T) {
	a := serve(t, newFake())
	a.signIns.most = 2
	paths := []req{
		{method: "POST", path: "/api/v1/login", body: `{"provider":"idp","device":true}`},
		{method: "POST", path: "/api/v1/login/finish", body: `{"provider":"idp","device":true,"attempt":"x"}`},
	}
	for range 2 {
		a.do(paths[0])
	}
	for _, r := range paths {
		if w := a.do(r); w.Code != 429 || problemOf(t, w).Hint == "" {
			t.Errorf("%s: %d %s", r.path, w.Code, w.Body)
		}
	}
	for i := range 3 { // elsewhere is not concerned
		if !a.signIns.allow(noon, fmt.Sprintf("10.0.0.%d:1", i)) {
			t.Error("another address is refused")
		}
	}
}
