package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// hugePagesFile holds how many huge pages the machine sets aside; root writes it.
const hugePagesFile = "/proc/sys/vm/nr_hugepages"

// hugePages is as many of 2 MB as the server's shared memory takes.
const hugePages = 320

// reserveHugePages sets huge pages aside for the server's shared memory, as
// PostgreSQL's manual advises ("Linux Huge Pages"): without them each of its
// processes spends its first thousands of statements on mapping small ones, which
// burdens slow peers more than fast ones. The function returned gives them back.
// Where that may not be done the server does without, which reserved tells.
func reserveHugePages(file string, pages int) (reserved bool, restore func()) {
	old, err := readNumber(file)
	if err != nil {
		return false, func() {}
	}
	restore = func() { writeNumber(file, old) } // what cannot be given back is back at the next boot
	if err := writeNumber(file, old+pages); err != nil {
		return false, func() {}
	}
	if got, err := readNumber(file); err != nil || got < old+pages { // memory in pieces
		restore()
		return false, func() {}
	}
	return true, restore
}

func readNumber(file string) (int, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

func writeNumber(file string, n int) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintln(f, n)
	return err
}
