// Package pgserver runs throw-away PostgreSQL servers for tests, the demo, the
// benchmarks and the third-party suites.
//
// [Launch] makes a cluster in a temporary folder, starts it on a free loopback
// port and returns when it answers. As root, everything runs as the account
// "postgres", because PostgreSQL refuses to run as root. [Server.Stop] ends it;
// if the process that launched it dies in any other way (a panic, a kill -9, a
// test timeout), a watcher process sees its pipe close, stops the server and
// removes the folder.
//
// To debug a server: [Server.LogFile] is its log, [Server.Dir] its folder.
package pgserver
