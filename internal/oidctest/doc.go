// Package oidctest is an OpenID provider for tests: one that can also fail and
// lie, as real ones must not. [Start] starts it; the person set by
// [Provider.Person] signs in without being asked. [Provider.Forge] changes the
// next ID tokens, [Provider.Rotate] the key, [Provider.Down] the mood.
//
// It speaks discovery, the authorization code flow with PKCE, the device flow,
// refresh tokens with rotation, user info and revocation. What a provider of
// the real world does is tested with one, in package e2e.
package oidctest
