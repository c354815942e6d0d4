package policy

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"sluice/access"
)

var update = flag.Bool("update", false, "write docs/verbs.md anew")

// verbMeanings says what each verb stands for, for docs/verbs.md.
var verbMeanings = map[access.Verb]string{
	access.VerbBegin:        "BEGIN, START TRANSACTION",
	access.VerbCommit:       "COMMIT, END, PREPARE TRANSACTION, COMMIT PREPARED",
	access.VerbRollback:     "ROLLBACK, ABORT, ROLLBACK TO, ROLLBACK PREPARED",
	access.VerbSavepoint:    "SAVEPOINT, RELEASE",
	access.VerbShow:         "SHOW",
	access.VerbSet:          "SET, RESET and set_config of a harmless setting",
	access.VerbPrepare:      "PREPARE (what is prepared is judged by its own verb when it runs)",
	access.VerbClose:        "CLOSE of a cursor, DEALLOCATE",
	access.VerbDiscard:      "DISCARD",
	access.VerbListen:       "LISTEN, UNLISTEN",
	access.VerbSelect:       "SELECT, VALUES, TABLE, DECLARE CURSOR of such",
	access.VerbFetch:        "FETCH, MOVE",
	access.VerbExplain:      "EXPLAIN without ANALYZE (with it, the verb of what is explained)",
	access.VerbCopyOut:      "COPY ... TO STDOUT",
	access.VerbInsert:       "INSERT",
	access.VerbUpdate:       "UPDATE",
	access.VerbDelete:       "DELETE",
	access.VerbMerge:        "MERGE",
	access.VerbCopyIn:       "COPY ... FROM STDIN",
	access.VerbNextval:      "nextval, setval",
	access.VerbTemp:         "creating and dropping temporary objects",
	access.VerbLock:         "LOCK, SELECT ... FOR UPDATE or SHARE, advisory locks",
	access.VerbNotify:       "NOTIFY, pg_notify",
	access.VerbCreate:       "CREATE, SELECT INTO",
	access.VerbAlter:        "ALTER, COMMENT, SECURITY LABEL",
	access.VerbDrop:         "DROP",
	access.VerbTruncate:     "TRUNCATE",
	access.VerbGrant:        "GRANT, REVOKE, REASSIGN OWNED",
	access.VerbVacuum:       "VACUUM, ANALYZE, REINDEX, CLUSTER, CHECKPOINT, REFRESH",
	access.VerbSetRole:      "SET ROLE, SET SESSION AUTHORIZATION, and RESET of them",
	access.VerbConfigure:    "a setting that changes what is judged, protected or recorded; ALTER SYSTEM",
	access.VerbDo:           "DO",
	access.VerbCall:         "CALL",
	access.VerbFunctionCall: "the protocol's FunctionCall message",
	access.VerbCopyFile:     "COPY from or to a file or program on the server",
	access.VerbReplication:  "replication connections and their commands",
	access.VerbExecute:      "code that cannot be looked into: LOAD, functions that run SQL text or administer the server",
}

// verbsDocument is docs/verbs.md.
func verbsDocument() string {
	var b strings.Builder
	b.WriteString(`# Verbs

This page is generated from the code; ` + "`go test ./policy -run TestVerbsDocument -update`" + ` writes it anew.

A rule says ` + "`verbs: [delete, update]`" + `, or the coarse ` + "`access: [write]`" + `. Where one command does several things, its most
consequential effect names the verb: a query with a DELETE in a CTE is a delete. ` + "`verbs: [\"*\"]`" + ` is every verb below; an action
that nobody understands is ` + "`unknown`" + `, which is allowed only by a rule that names it or asks nothing about verbs and access.

| access | verb | PostgreSQL |
|---|---|---|
`)
	for _, v := range access.Verbs() {
		fmt.Fprintf(&b, "| %s | `%s` | %s |\n", v.Class(), v, verbMeanings[v])
	}
	b.WriteString(`
*session* is what every session needs: it is granted to whoever has any allow on the resource, unless a rule denies it. An approval
rule asks for it only if it names these verbs or this class.
`)
	return b.String()
}

func TestVerbsDocument(t *testing.T) {
	for _, v := range access.Verbs() {
		if verbMeanings[v] == "" {
			t.Errorf("verb %s has no meaning in verbMeanings", v)
		}
	}
	const file = "../docs/verbs.md"
	if *update {
		if err := os.WriteFile(file, []byte(verbsDocument()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != verbsDocument() {
		t.Errorf("%s is not what the code says (%v): run go test ./policy -run TestVerbsDocument -update", file, err)
	}
}
