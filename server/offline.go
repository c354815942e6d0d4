package server

import (
	"context"
	"errors"
	"io"

	v1 "sluice/api/v1"
)

// ParseWorkerCommand is the hidden subcommand that turns the process into a
// parse worker.
const ParseWorkerCommand = "parse-worker"

// A CheckReport is the result of checking a configuration. Errors and Warnings
// are texts of the form file:line:column: message.
type CheckReport struct {
	Errors   []string `json:"errors"`
	Warnings []string `json:"warnings"`
	Summary  string   `json:"summary"`
}

// A TestResult is one case of a policy test.
type TestResult struct {
	Name   string `json:"name"`
	Where  string `json:"where"` // file:line
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"` // what was expected and what came
}

// VerifyOptions say what to verify: a folder, or the one a configuration names.
type VerifyOptions struct {
	Config  string
	Folder  string
	Key     string // verifier key or a file with it; empty: the one beside the journal
	Anchors [][]byte
}

// ServeOptions are the command line of serve.
type ServeOptions struct {
	Config    string
	Pprof     string // loopback address for profiles; empty: none
	LogFormat string // text or json
	Out, Err  io.Writer
	Version   string
}

var errSoon = errors.New("server: not wired")

func ParseWorker() int { return 2 }
func Check(ctx context.Context, path string) CheckReport {
	return CheckReport{Errors: []string{errSoon.Error()}}
}
func Test(ctx context.Context, paths []string) ([]TestResult, error) { return nil, errSoon }
func Can(ctx context.Context, config string, q v1.Question) ([]v1.Verdict, error) {
	return nil, errSoon
}
func Verify(ctx context.Context, o VerifyOptions) (v1.Report, error)          { return v1.Report{}, errSoon }
func Play(ctx context.Context, w io.Writer, r io.Reader, speed float64) error { return errSoon }
func Serve(ctx context.Context, o ServeOptions) error                         { return errSoon }
