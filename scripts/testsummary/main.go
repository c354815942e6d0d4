// Command testsummary turns `go test -json` on standard input into a report:
// a line for each package as it ends, the output of what failed, and a last line
// "N passed, N failed". It exits 1 if anything failed or was skipped, or if
// nothing ran at all.
package main

import (
	"fmt"
	"os"

	"sluice/internal/testsummary"
)

func main() { os.Exit(run()) }

func run() int {
	var s testsummary.Summary
	if err := s.Read(os.Stdin, func(line string) { fmt.Println(line) }); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s.Report(os.Stdout)
	failed, skipped := s.Failed(), s.Skipped()
	for _, name := range failed {
		fmt.Println("FAIL", name)
	}
	for _, name := range skipped {
		fmt.Println("FAIL (skipped)", name)
	}
	fmt.Printf("%d passed, %d failed\n", s.Passed(), len(failed)+len(skipped))
	if len(failed)+len(skipped) > 0 || s.Passed() == 0 {
		return 1
	}
	return 0
}
