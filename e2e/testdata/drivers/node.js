// What an application does with node-postgres. Prints what it saw.
'use strict'
const { Client, Pool } = require(process.env.NODE_PG)
const connectionString = process.env.URL

async function main() {
  const db = new Client({ connectionString })
  const notices = []
  db.on('notice', (n) => notices.push(n.message))
  await db.connect()
  await db.query('CREATE TABLE js (id serial PRIMARY KEY, n int, d numeric, s text, b bytea, t timestamptz, j jsonb, a int[], flag bool)')
  const insert = 'INSERT INTO js (n, d, s, b, t, j, a, flag) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id'
  for (const row of [
    [1, '1.50', "it's", Buffer.from([0, 255]), new Date('2024-02-29T12:00:00Z'), { k: [1, 2] }, [1, null, 3], true],
    [null, null, null, null, null, null, null, null],
    [-2147483648, '1e10', 'ü人\n', Buffer.alloc(0), new Date('1999-12-31T00:00:00Z'), [], [], false]
  ]) console.log((await db.query(insert, row)).rows)
  const all = await db.query({ name: 'all', text: 'SELECT * FROM js ORDER BY id' })
  console.log(all.fields.map((f) => f.name + ':' + f.dataTypeID + ':' + f.columnID), all.command, all.rowCount)
  console.log(JSON.stringify(all.rows))

  // A named statement is parsed once and bound again.
  for (const id of [1, 2, 3]) console.log((await db.query({ name: 'one', text: 'SELECT n, s FROM js WHERE id = $1', values: [id] })).rows)

  // Several statements in one text, and an error among them.
  console.log((await db.query('SELECT 1 AS a; SELECT 2 AS b')).map((r) => r.rows))
  await db.query('SELECT 1; SELECT 1/0; SELECT 3').catch((e) => console.log(e.code, e.message))
  await db.query('INSERT INTO js (id) VALUES (1)').catch((e) => console.log(e.code, e.constraint, e.detail, e.table, e.schema))
  console.log((await db.query('SELECT count(*) FROM js')).rows)

  await db.query('BEGIN')
  await db.query('INSERT INTO js (n) VALUES ($1)', [42])
  await db.query('SELECT nothing').catch((e) => console.log(e.code, e.position))
  await db.query('SELECT 1').catch((e) => console.log(e.code))
  await db.query('ROLLBACK')
  console.log((await db.query('SELECT count(*) FROM js')).rows)

  // Queries are queued without waiting for answers.
  console.log((await Promise.all([1, 2, 3, 4].map((n) => db.query('SELECT $1::int * 2 AS twice', [n])))).map((r) => r.rows[0].twice))

  const pool = new Pool({ connectionString, max: 4 })
  const sums = await Promise.all(Array.from({ length: 20 }, (_, i) => pool.query('SELECT sum(g) AS s FROM generate_series(1, $1) g', [i])))
  console.log(sums.map((r) => r.rows[0].s).join())

  const heard = new Promise((resolve) => db.on('notification', (m) => resolve([m.channel, m.payload])))
  await db.query('LISTEN js_news')
  await pool.query("SELECT pg_notify('js_news', 'hello')")
  console.log(await heard)
  await pool.end()

  await db.query('SET statement_timeout = 50')
  await db.query('SELECT pg_sleep(5)').catch((e) => console.log(e.code, e.message))
  await db.query('RESET statement_timeout')
  await db.query("DO $$ BEGIN RAISE NOTICE 'noted'; END $$")
  console.log(notices)
  console.log((await db.query("SELECT repeat('x', 5000000) AS x")).rows[0].x.length)
  await db.end()
}

main().catch((e) => { console.error(e); process.exit(1) })
