// Package oidc signs people and workloads in by OpenID Connect. It is the only
// place that knows go-oidc and OAuth.
//
// # Life of a sign-in
//
// A [Provider] is one configured issuer. [Provider.StartCode] makes the address
// to send a browser to (authorization code, PKCE with S256, state and nonce);
// [Provider.FinishCode] takes what comes back. [Provider.StartDevice] asks for a
// user code (RFC 8628); [Provider.Poll] asks whether the person has entered it.
// Both end in a [Person]: verified claims in the gateway's words. The gateway is
// the client and holds its secret; browsers and the command line hold an
// attempt, sealed, in which they can read and change nothing (attempt.go). So
// nothing is kept here for a sign-in that nobody finishes.
//
// [Provider.Refresh] asks later whether the provider still vouches for the
// person; [ErrGone] is its no, any other error is not an answer.
//
// # What is believed
//
// A token is believed for its signature by a key of the issuer's, with an
// asymmetric algorithm; for issuer, audience and authorized party; for its times
// within the clock skew; for its nonce (verify.go). An e-mail address counts only
// if the provider says that it verified it (claims.go).
//
// [Workloads] believe tokens of CI systems and clusters likewise, and map them
// to configured users by rules on claims (workload.go).
//
// # A provider that is down
//
// Nothing is asked at start. Discovery happens at first use and is kept for an
// hour; keys are fetched when a token names one that is not known, at most every
// ten seconds; a failure is remembered for three. [ErrUnavailable] is what a
// person sees then. All answers are bounded in size and time (transport.go).
package oidc
