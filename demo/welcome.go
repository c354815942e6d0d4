package main

import (
	"path/filepath"
	"strings"

	"sluice/demo/stage"
)

// welcome is what a newcomer reads first: things to type, and what to expect.
func welcome(s *stage.Stage, root string) string {
	_, port, _ := strings.Cut(s.Gateway, ":")
	rules := filepath.Join(s.Config, "policies.yaml")
	if near, err := filepath.Rel(root, rules); err == nil && filepath.IsLocal(near) {
		rules = near
	}
	return strings.NewReplacer("$PORT", port, "$WEB", s.Web, "$RULES", rules).Replace(`
Sluice stands before the database "shop". Everybody's password is "demo".

In another terminal, in this folder:

  export PGPASSWORD=demo PGHOST=127.0.0.1 PGPORT=$PORT
  psql -U alice shop

and there, as alice the engineer:

  SELECT name, email, card FROM customers LIMIT 3;   -- masked
  DELETE FROM orders;                                -- denied: no WHERE
  SELECT * FROM finance.salaries;                    -- denied: not hers to see
  UPDATE orders SET status = 'paid' WHERE id = 7;    -- waits for a DBA

While the last one waits, answer it as bob the DBA (password demo) in a browser,

  http://$WEB/requests

or in a third terminal in this folder:

  export SLUICE_USER=bob SLUICE_PASSWORD=demo SLUICE_GATEWAY=http://$WEB
  bin/sluice request ls
  bin/sluice request approve ID

  psql -U carol shop    sees real addresses (support lead)
  psql -U dave shop     sees finance
  psql -U bob shop      may TRUNCATE carts: a rule in monitor mode takes note

  bin/sluice audit search --effect deny    what was refused
  bin/sluice why DECISION-ID               which rule, and why

Web: http://$WEB     Rules: $RULES (edit them while this runs)
Ctrl+C stops everything.

`)
}
