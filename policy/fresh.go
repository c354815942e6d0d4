package policy

import (
	"fmt"
	"slices"
	"time"

	"sluice/access"
	"sluice/internal/strictyaml"
)

// An identitySpec says what a rule asks of the subject's authentication.
type identitySpec struct {
	Pos    strictyaml.Pos
	MaxAge strictyaml.At[time.Duration] `yaml:"max_age,required"`
}

// maxAge bounds what can be asked: nobody's login lives longer.
const maxAge = 30 * 24 * time.Hour

// fresh compiles a rule's identity block. It stands only where a denial fits:
// a mask that hung on it would be lifted by signing in again.
func (c *compiler) fresh(who string, spec *ruleSpec, r *rule) {
	if spec.Identity == nil {
		return
	}
	at := spec.Identity.MaxAge
	if at.Given() && (at.Value <= 0 || at.Value > maxAge) {
		c.fail(at.Pos, "%s: identity.max_age: want more than 0s and at most %s", who, maxAge)
	}
	if spec.Effect.Given() && !slices.Contains([]effect{effAllow, effApproval, effDeny}, r.effect) {
		c.fail(spec.Identity.Pos, "%s: identity: only a rule that allows, denies or requires approval can ask for a fresh sign-in", who)
	}
	r.maxAge = at.Value
}

// stale reports whether the subject authenticated too long ago for the rule, or
// nobody knows when. Who acts for a person cannot authenticate for them, so the
// person's time counts.
func (r *rule) stale(q *access.Request) bool {
	if r.maxAge == 0 {
		return false
	}
	at := q.Subject.AuthTime
	return at.IsZero() || q.Context.Time.Sub(at) > r.maxAge
}

// freshen looks at the age of the authentication: where it is too old, the rule
// denies, whatever its effect; where it is not, a rule that denies has nothing
// more to say.
func (f *finding) freshen(q *question) {
	if f.rule.maxAge == 0 || f.met == no || f.err != nil {
		return
	}
	f.stale = f.rule.stale(q.r)
	if !f.stale && f.rule.effect == effDeny {
		f.met = no
	}
}

// loginHint is what to do about a stale authentication.
const loginHint = "sluice login --fresh, then try again"

func (f *finding) staleText() string {
	return join(f.rule.message, fmt.Sprintf("this needs a sign-in not older than %s", f.rule.maxAge))
}
