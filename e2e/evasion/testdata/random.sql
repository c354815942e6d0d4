-- What random statements run over: the demo's shop with few rows, so that any
-- join ends, and a table with a column of every kind. The columns that a policy
-- masks are filled with secrets afterwards (random_world_test.go).
SET TIME ZONE 'UTC';
DELETE FROM order_items;
DELETE FROM carts;
DELETE FROM tickets;
DELETE FROM orders WHERE id > 9;
UPDATE orders SET customer_id = 1 + id % 6;
DELETE FROM customers WHERE id > 6;
DELETE FROM products WHERE id > 4;
DELETE FROM finance.invoices WHERE id > 10; -- every second id
DELETE FROM finance.salaries WHERE id > 5;
INSERT INTO orders (id, customer_id, status, total, ordered_at) SELECT 20 + i, 1 + i, 'paid', 10 * i, '2025-02-03 04:05Z' FROM generate_series(1, 3) i;
INSERT INTO order_items SELECT id, 1 + id % 4, 1, 9.90 FROM orders WHERE id < 6;
INSERT INTO tickets (id, customer_id, body, created_at) SELECT i, i, 'body ' || i, '2024-05-05 12:00Z' FROM generate_series(1, 4) i;
INSERT INTO carts (id, customer_id, product_id) SELECT i, i, i FROM generate_series(1, 4) i;

CREATE SEQUENCE counter;
CREATE TABLE notes (id int PRIMARY KEY, body text, n int);
INSERT INTO notes VALUES (1, 'a', 1), (2, 'n1', 2), (3, 'x1', 7), (4, NULL, NULL);
CREATE TABLE people (id int, name text, note text, ssn int, salary numeric(12,2), uid uuid, born date, seen timestamptz,
  profile jsonb, photo bytea, tags text[], home inet, secret text);
INSERT INTO people SELECT i, 'n' || i, 'note', i, i, NULL, '2001-02-03', '2001-02-03 12:00Z', '{"key": "v"}', '\x00', '{a,b}', '10.0.0.1', 's' FROM generate_series(1, 4) i;
CREATE TABLE staff (desk int) INHERITS (people);
INSERT INTO staff (id, name, ssn, secret, desk) VALUES (9, 'Cid', 9, 's', 5);

CREATE VIEW v_same AS SELECT id, name, email FROM customers;
CREATE VIEW v_renamed AS SELECT id, email AS contact, national_id AS n FROM customers;
CREATE VIEW v_over AS SELECT id, contact AS c FROM v_renamed;
CREATE VIEW v_expr AS SELECT id, lower(email) AS contact, reverse(card) AS k, name || ' ' || country AS label FROM customers;
CREATE VIEW v_union AS SELECT id, email AS x FROM customers UNION ALL SELECT id, body FROM notes;
CREATE VIEW v_agg AS SELECT country::text, string_agg(email, ',' ORDER BY id) AS emails, min(card) AS first FROM customers GROUP BY country;
CREATE VIEW v_where AS SELECT id FROM customers WHERE email LIKE 'q%m%';
CREATE VIEW v_order AS SELECT id FROM customers ORDER BY email LIMIT 3;
CREATE VIEW v_json AS SELECT id, to_jsonb(customers) AS j FROM customers;
CREATE VIEW v_people AS SELECT id, born, ssn + 1 AS more, salary, tags, coalesce(secret, note) AS s FROM people;
CREATE MATERIALIZED VIEW m_mails AS SELECT id, email AS contact FROM customers;
