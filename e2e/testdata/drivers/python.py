"""What an application does with psycopg2. Prints what it saw."""
import datetime
import decimal
import io
import os
import select

import psycopg2
import psycopg2.extras

dsn = os.environ["DSN"]
db = psycopg2.connect(dsn)
print(db.get_parameter_status("server_encoding"), db.get_parameter_status("standard_conforming_strings"))
cur = db.cursor()

cur.execute("CREATE TABLE py (id serial PRIMARY KEY, n int, d numeric, s text, b bytea, t timestamptz, j jsonb, a int[], flag bool)")
rows = [
    (1, decimal.Decimal("1.50"), "it's", b"\x00\xff", datetime.datetime(2024, 2, 29, 12, 0, tzinfo=datetime.timezone.utc), '{"k": [1, 2]}', [1, None, 3], True),
    (None, None, None, None, None, None, None, None),
    (-2147483648, decimal.Decimal("1e10"), "ü人\n", b"", datetime.datetime(1999, 12, 31, tzinfo=datetime.timezone.utc), "null", [], False),
]
cur.executemany("INSERT INTO py (n, d, s, b, t, j, a, flag) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", rows)
print("inserted", cur.rowcount, cur.statusmessage)
db.commit()
cur.execute("SELECT n, d, s, b, t, j, a, flag FROM py ORDER BY id")
print([c.name + ":" + str(c.type_code) for c in cur.description])
for row in cur:
    print([bytes(v) if isinstance(v, memoryview) else v for v in row])

try:
    cur.execute("INSERT INTO py (id) VALUES (%s)", (1,))
except psycopg2.errors.UniqueViolation as e:
    print(e.pgcode, e.diag.message_primary, e.diag.constraint_name, e.diag.message_detail)
try:
    cur.execute("SELECT 1")
except psycopg2.errors.InFailedSqlTransaction as e:
    print(e.pgcode)
db.rollback()

with db.cursor("named") as named:
    named.itersize = 7
    named.execute("SELECT generate_series(1, 50)")
    print(sum(r[0] for r in named))
db.commit()

psycopg2.extras.execute_values(cur, "INSERT INTO py (n, s) VALUES %s", [(i, "v%d" % i) for i in range(500)])
cur.execute("SELECT count(*), sum(n) FROM py WHERE s LIKE 'v%%'")
print(cur.fetchone())

cur.copy_expert("COPY py (n, s) FROM STDIN", io.StringIO("".join("%d\tcopied\n" % i for i in range(1000))))
out = io.StringIO()
cur.copy_expert("COPY (SELECT n, s FROM py WHERE s = 'copied' ORDER BY n) TO STDOUT WITH (FORMAT csv)", out)
print(len(out.getvalue()), out.getvalue()[:30])
db.commit()

db.set_isolation_level(psycopg2.extensions.ISOLATION_LEVEL_AUTOCOMMIT)
cur.execute("LISTEN py_news")
other = psycopg2.connect(dsn)
with other, other.cursor() as c:
    c.execute("SELECT pg_notify('py_news', 'hello')")
while not db.notifies:
    select.select([db], [], [], 10)
    db.poll()
print([(n.channel, n.payload) for n in db.notifies])

cur.execute("SET statement_timeout = 50")
try:
    cur.execute("SELECT pg_sleep(5)")
except psycopg2.errors.QueryCanceled as e:
    print(e.pgcode, e.diag.message_primary)
cur.execute("RESET statement_timeout")
cur.execute("DO $$ BEGIN RAISE NOTICE 'noted'; END $$")
print(db.notices)
lob = db.cursor()
lob.execute("SELECT repeat('x', 5000000)")
print(len(lob.fetchone()[0]))
cur.callproc("upper", ["called"])
print(cur.fetchone())
other.close()
db.close()
