package identity

import "sluice/access"

// Roles are the groups with rights inside the gateway itself. The zero Roles
// gives nobody any. No role lifts the ban on approving one's own requests.
type Roles struct {
	Admin   []string // may end sessions and revoke others' tokens, and all that auditors may
	Auditor []string // may see everyone's sessions, decisions, requests, audit and recordings
}

// IsAdmin reports whether s is an administrator. An agent that acts for an
// administrator is one only if it is itself.
func (r Roles) IsAdmin(s access.Subject) bool { return everyone(s, r.Admin) }

// IsAuditor reports whether s may see what others do. Administrators may.
func (r Roles) IsAuditor(s access.Subject) bool { return everyone(s, r.Auditor) || r.IsAdmin(s) }

func everyone(s access.Subject, groups []string) bool {
	for _, party := range s.Chain() {
		if !anyOf(party, groups) {
			return false
		}
	}
	return true
}

func anyOf(s *access.Subject, groups []string) bool {
	for _, g := range groups {
		if g != "" && s.In(g) {
			return true
		}
	}
	return false
}

// MaySee reports whether viewer may see what owner did: oneself, one's own
// agents, or anybody for auditors.
func (r Roles) MaySee(viewer, owner access.Subject) bool {
	if r.IsAuditor(viewer) {
		return true
	}
	for _, party := range owner.Chain() {
		if viewer.Actor == nil && (viewer.Same(*party) || party.Owner != "" && party.Owner == viewer.ID) {
			return true
		}
	}
	return false
}
