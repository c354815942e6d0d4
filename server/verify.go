package server

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"sluice/api"
	v1 "sluice/api/v1"
	"sluice/audit"
	"sluice/config"
)

// VerifyOptions say what to verify: a folder, or the one a configuration names.
type VerifyOptions struct {
	Config  string
	Folder  string
	Key     string // verifier key, or a file with it; empty: the one beside the journal
	Anchors [][]byte
}

// Verify checks a journal offline. It needs neither the gateway nor its keys,
// only the public one.
func Verify(ctx context.Context, o VerifyOptions) (v1.Report, error) {
	folder := o.Folder
	if folder == "" {
		cfg, problems := config.Load(o.Config)
		if err := problemsError(problems); err != nil {
			return v1.Report{}, err
		}
		folder = cfg.Gateway.Data
	}
	folder = journalFolder(folder)
	key, err := verifierKey(o.Key, folder)
	if err != nil {
		return v1.Report{}, err
	}
	return verify(ctx, os.DirFS(folder), key, o.Anchors...)
}

// journalFolder takes the data folder or the journal's own.
func journalFolder(folder string) string {
	if inner := filepath.Join(folder, "journal"); isFolder(inner) {
		return inner
	}
	return folder
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// verifierKey is what a file holds, the key itself (NAME+HASH+KEY, as signed
// notes have it), or what lies beside the journal.
func verifierKey(given, folder string) (string, error) {
	b, err := os.ReadFile(first(given, filepath.Join(folder, audit.PublicKeyFile)))
	switch {
	case err == nil:
		return strings.TrimSpace(string(b)), nil
	case strings.Count(given, "+") >= 2:
		return given, nil
	}
	return "", api.WithHint(fmt.Errorf("server: verifier key: %w", err), "give the gateway's data folder or its journal, and --key as you kept it elsewhere")
}

func verify(ctx context.Context, fsys fs.FS, key string, anchors ...[]byte) (v1.Report, error) {
	r, err := audit.Verify(ctx, fsys, key, anchors...)
	if err != nil {
		return v1.Report{}, err
	}
	out := v1.Report{OK: r.Sound(), Entries: r.Records, Covered: r.Signed, Anchored: r.Anchored, Erased: r.ErasedCount, Head: r.Head, Problems: []string{}}
	for _, f := range r.Findings {
		out.Problems = append(out.Problems, f.String())
	}
	return out, nil
}
