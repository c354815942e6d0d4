package strictyaml

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxFiles bounds how many files a folder may hold.
const maxFiles = 10_000

// Read reads the documents of a file, or of every .yaml and .yml file in and
// below a folder, in order of path. Hidden files and folders are passed over.
// What cannot be read is a problem too.
func Read(path string) ([]Document, []Problem) {
	files, err := Files(path)
	if err != nil {
		return nil, []Problem{{File: path, Line: 1, Column: 1, Message: err.Error()}}
	}
	var (
		docs     []Document
		problems []Problem
	)
	for _, file := range files {
		data, err := readFile(file)
		if err != nil {
			problems = append(problems, Problem{File: file, Line: 1, Column: 1, Message: err.Error()})
			continue
		}
		ds, ps := Parse(file, data)
		docs, problems = append(docs, ds...), append(problems, ps...)
	}
	return docs, problems
}

// Files lists the files that [Read] would read.
func Files(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var files []string
	err = filepath.WalkDir(path, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(e.Name(), ".") && p != path
		switch {
		case hidden && e.IsDir():
			return filepath.SkipDir
		case hidden || e.IsDir() || !yamlFile(p):
			return nil
		case len(files) == maxFiles:
			return fmt.Errorf("more than %d files", maxFiles)
		}
		files = append(files, p)
		return nil
	})
	slices.Sort(files)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return files, nil
}

func yamlFile(path string) bool {
	ext := filepath.Ext(path)
	return ext == ".yaml" || ext == ".yml"
}

// readFile reads at most one byte more than Parse accepts.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return data, nil
}
