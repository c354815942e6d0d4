package e2e

// The tests here build and run the program. go test keeps results as long as what it
// compiles into the test does not change: with this, that is all of the program.
import _ "sluice/cli"
