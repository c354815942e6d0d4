// Command demo shows Sluice at work on real software: a throw-away PostgreSQL
// with the data of a shop, and a gateway in front of it with sample policies.
// Run it with `make demo`; Ctrl+C ends it and leaves nothing behind but, with
// -keep, the gateway's data.
//
// The configuration is demo/config, used in place: edit a rule while the demo
// runs, and the next statement is decided by it. The database is made by
// demo/stage/shop.sql.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"sluice/demo/stage"
)

func main() {
	root := flag.String("root", ".", "the project's folder")
	keep := flag.Bool("keep", false, "keep ./demo-data for the next time")
	anywhere := flag.Bool("anywhere", false, "in a temporary folder and on free ports")
	flag.Parse()
	if err := run(*root, *keep, *anywhere); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(root string, keep, anywhere bool) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	fmt.Println("Starting a PostgreSQL with sample data, and Sluice in front of it ...")
	s, err := stage.Set(stage.Options{Binary: filepath.Join(root, "bin", "sluice"), Config: filepath.Join(root, "demo", "config"), Copy: anywhere, Log: os.Stderr})
	if err != nil {
		return err
	}
	if !keep {
		// Not before now: with the ports in use, it is another demo's.
		defer os.RemoveAll(s.Data)
	}
	defer s.Strike()
	fmt.Print(welcome(s, root))
	select {
	case <-stop:
		fmt.Println("\nStopping.")
		return nil
	case <-s.Ended():
		return errors.New("the gateway ended; its log is above")
	case <-s.Server.Exited():
		return errors.New("the PostgreSQL server ended")
	}
}
