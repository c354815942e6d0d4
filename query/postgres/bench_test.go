package postgres

import "testing"

// benchTexts are what an application sends, and an analyst.
var benchTexts = map[string]string{
	"point":  `select id, name, email from customers where id = $1`,
	"update": `update pgbench_accounts set abalance = abalance + $1 where aid = $2`,
	"join":   `select c.id, c.name, o.total, lower(o.note) from customers c join orders o on o.customer_id = c.id where o.total > 5 and c.active order by o.created_at desc limit 10`,
	"report": `with s as (select customer_id, count(*) n, sum(total) t from orders where created_at > $1 group by customer_id) select c.name, coalesce(s.n, 0), case when s.t > 100 then 'big' else 'small' end from customers c left join s on s.customer_id = c.id where c.id in (select id from v_plain) union all select 'all', count(*), '' from orders`,
}

// BenchmarkAnalyze is what a parsed statement costs to understand, on a miss.
func BenchmarkAnalyze(b *testing.B) {
	env := testEnv(b)
	for name, text := range benchTexts {
		b.Run(name, func(b *testing.B) {
			p, err := New(&direct{}, Options{}).parse(b.Context(), "x", text)
			if err != nil {
				b.Fatal(err)
			}
			p.analyze(env, false)
			b.ReportAllocs()
			for b.Loop() {
				p.analyze(env, false)
			}
		})
	}
}
