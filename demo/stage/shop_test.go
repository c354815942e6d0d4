package stage

import (
	"strings"
	"testing"

	"sluice/internal/pgtest"
)

// TestShop loads the sample data twice: it must be there, believable, and the
// same every time.
func TestShop(t *testing.T) {
	var sums [2]string
	for i := range sums {
		s := pgtest.Start(t, pgtest.Options{})
		if err := load(s.Server); err != nil {
			t.Fatal(err)
		}
		sums[i] = s.Exec(t, "shop", checksums)
		if i > 0 {
			continue
		}
		for query, want := range map[string]string{
			"SELECT count(*) FROM customers":                                                                      "2000",
			"SELECT count(*) FROM orders":                                                                         "5000",
			"SELECT count(*) FROM orders WHERE total = 0":                                                         "0",
			"SELECT count(*) FROM customers WHERE card !~ '^4242[0-9]{12}$' OR NOT " + luhnCheck:                  "0",
			"SELECT count(*) FROM finance.salaries":                                                               "60",
			"SELECT count(*) > 100 FROM finance.invoices WHERE NOT paid":                                          "t",
			"SELECT count(*) FROM best_customers":                                                                 "100",
			"SELECT count(*) > 30 FROM tickets WHERE body LIKE '%@example.%'":                                     "t",
			"SELECT rolsuper OR rolcreaterole OR rolreplication FROM pg_roles WHERE rolname = 'shop_gateway'":     "f",
			"SELECT count(*) FROM pg_tables WHERE tableowner = 'shop_gateway'":                                    "0",
			"SELECT relispartition FROM pg_class WHERE relname = 'orders_2024'":                                   "t",
			"SELECT has_table_privilege('shop_gateway', 'finance.salaries', 'SELECT')":                            "t",
			"SELECT count(DISTINCT card) FROM customers":                                                          "2000",
			"SELECT count(*) FROM orders o LEFT JOIN order_items i ON i.order_id = o.id WHERE i.order_id IS NULL": "0",
		} {
			if got := s.Exec(t, "shop", query); got != want {
				t.Errorf("%s: %s, want %s", query, got, want)
			}
		}
	}
	if sums[0] != sums[1] || strings.Count(sums[0], "\n") != 5 {
		t.Errorf("the data differs from one time to the next:\n%s\n\n%s", sums[0], sums[1])
	}
}

const checksums = `SELECT 'customers', md5(string_agg(c::text, ',' ORDER BY id)) FROM customers c
UNION ALL SELECT 'orders', md5(string_agg(o::text, ',' ORDER BY id)) FROM orders o
UNION ALL SELECT 'items', md5(string_agg(i::text, ',' ORDER BY order_id, product_id)) FROM order_items i
UNION ALL SELECT 'tickets', md5(string_agg(t::text, ',' ORDER BY id)) FROM tickets t
UNION ALL SELECT 'salaries', md5(string_agg(s::text, ',' ORDER BY id)) FROM finance.salaries s
UNION ALL SELECT 'invoices', md5(string_agg(v::text, ',' ORDER BY id)) FROM finance.invoices v`

// luhnCheck is the check of ISO/IEC 7812 over the column card.
const luhnCheck = `(SELECT sum(CASE WHEN i % 2 = 1 THEN d * 2 - CASE WHEN d > 4 THEN 9 ELSE 0 END ELSE d END) % 10 = 0
	FROM generate_series(1, 16) i, LATERAL (SELECT substr(card, i, 1)::int AS d) x)`
