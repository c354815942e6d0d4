// Package identity turns credentials into an [access.Subject]. It knows local
// users from configuration (password, client certificate) and the short-lived
// tokens it issues to them.
//
// # Life of a credential
//
// A [Directory] holds the users, one snapshot at a time ([Directory.Swap]), and
// the tokens, which live in the store. A protocol proves a client by SCRAM
// ([Directory.SCRAM]), by a secret in clear inside TLS ([Directory.Password])
// or by a certificate that TLS verified ([Directory.Certificate]); the HTTP side
// uses [Directory.Authorization]. [Directory.Allow] is asked before an attempt and
// [Directory.Failed] told after a bad one.
//
// The pipeline then watches [Directory.Version] at every statement and asks
// [Directory.Current] when it moved: a removed user, a changed password and a
// revoked token end the session, changed groups apply at once. That a token
// expired does not: it was good when the session opened.
//
// # What is kept of a secret
//
// Of tokens: a SHA-256 (they are 256 random bits) and a SCRAM verifier. Of
// passwords: the verifier, in memory only. SCRAM wants one salt and iteration
// count for a user before the client says which credential it will prove, so
// the salt is derived from the user's name with a key from the data folder.
// Unknown users get theirs the same way: nothing tells them apart. Whoever loses
// the key file invalidates all tokens and nothing else.
//
// # Limits
//
// Failures are counted by address and by user in tables of fixed size (throttle.go).
// A user has at most 256 live tokens: each login tries all of them.
//
// To debug a refused login look for session.refused events in the audit; the
// client is told nothing but that it was refused.
package identity
