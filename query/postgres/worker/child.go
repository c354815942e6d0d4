package worker

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/pganalyze/pg_query_go/v6/parser"
)

// Command is the hidden subcommand that a child is started with.
const Command = "parse-worker"

// limited marks the second start of a child: see [Main].
const limited = "limited"

// Main is a child's whole life: it answers frames on standard input until that
// ends, and returns the exit code. The first start only sets limits and starts
// itself again, because threads take the size of their stack from the limit
// that the process began with.
func Main() int {
	if len(os.Args) < 3 || os.Args[2] != limited {
		return fail(restartLimited())
	}
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(400)
	if _, err := parser.ParseToProtobuf("SELECT 1"); err != nil { // everything is mapped before the doors close
		return fail(err)
	}
	if err := confine(); err != nil {
		fmt.Fprintln(os.Stderr, "parse-worker: not confined:", err)
	}
	return fail(answer(os.Stdin, os.Stdout))
}

func fail(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "parse-worker:", err)
	return 1
}

// answer serves requests until r ends.
func answer(r io.Reader, w io.Writer) error {
	in := bufio.NewReaderSize(r, 64<<10)
	for {
		kind, body, err := readFrame(in, maxRequest)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		kind, body = carryOut(kind, body)
		if err := writeFrame(w, kind, body); err != nil {
			return err
		}
	}
}

func carryOut(kind byte, body []byte) (byte, []byte) {
	switch kind {
	case kindParse:
		tree, err := parser.ParseToProtobuf(string(body))
		return answered(tree, err)
	case kindDeparse:
		text, err := parser.DeparseFromProtobuf(body)
		return answered([]byte(text), err)
	}
	return kindFailed, []byte("unknown request")
}

func answered(result []byte, err error) (byte, []byte) {
	var pe *parser.Error
	switch {
	case err == nil && len(result) > maxAnswer:
		return kindFailed, []byte("the tree is too large")
	case err == nil:
		return kindResult, result
	case errors.As(err, &pe):
		return kindSyntax, syntaxBody(pe.Cursorpos, pe.Message)
	}
	return kindFailed, []byte(err.Error())
}
