-- A world: the demo's shop, smaller, with secrets of its own. Two worlds differ in
-- nothing but what masks and the hidden schema protect: whatever a client can tell
-- them apart by is a leak. {name} stands for a value of the world (worlds_test.go).
SET TIME ZONE 'UTC';
DELETE FROM order_items WHERE order_id IN (SELECT id FROM orders WHERE customer_id > 60);
DELETE FROM orders WHERE customer_id > 60;
DELETE FROM carts WHERE customer_id > 60;
DELETE FROM tickets WHERE customer_id > 60;
DELETE FROM customers WHERE id > 60;
UPDATE customers SET
  email = 'z' || substr(md5('{world}' || id), 1, 6 + id % 4 + {padding}) || '@vault.example',
  card = CASE WHEN id % 15 <> 0 THEN '4' || lpad(('x' || substr(md5('card{world}' || id), 1, 8))::bit(32)::bigint::text, 11, '7') || lpad(id::text, 4, '0') END,
  national_id = CASE WHEN id % 10 <> 0 THEN 100000000 + ('x' || substr(md5('id{world}' || id), 1, 6))::bit(24)::int END;
UPDATE customers SET email = '{email}', card = '{card}', national_id = '{national_id}' WHERE id = 1;
-- Some rows share a value, other ones in each world.
UPDATE customers SET national_id = '555555555' WHERE id IN (4, {twin});

CREATE TABLE people (id int, name text, note text, ssn int, salary numeric(12,2), uid uuid, born date, seen timestamptz,
  profile jsonb, photo bytea, tags text[], home inet, mood text, secret text);
INSERT INTO people VALUES
 (1, 'Ann', 'first', {ssn}, {salary}, '{uid}', '{born}', '{born} 10:11:12Z', '{"key": "{word}", "n": {ssn}}', '\x{bytes}', '{{word},more}', '{home}', '{word}', '{word}'),
 (2, 'Ben', NULL, 400000000 + {ssn} % 1000, 10 + {salary}, '00000000-0000-4000-8000-000000000001', '1975-05-05', '1975-05-05', '{"key": "{world}"}', '\x00', '{{world}}', '10.0.0.1', '{world}', '{world}');
CREATE TABLE staff (desk int) INHERITS (people);
INSERT INTO staff (id, name, ssn, secret, desk) VALUES (3, 'Cid', {ssn} + 1, '{word} staff', 5);
CREATE TABLE events (id int, at date, payload text) PARTITION BY RANGE (at);
CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
INSERT INTO events VALUES (1, '2024-02-03', '{word} payload'), (2, '2024-02-04', '{world}');
CREATE TABLE notes (id int PRIMARY KEY, body text, n int);
INSERT INTO notes VALUES (1, 'one', 1), (2, 'two', 2);
CREATE TABLE visits (customer_id int REFERENCES customers, page text, at timestamptz DEFAULT '2024-01-01');
INSERT INTO visits SELECT id, '/page/' || id % 3 FROM customers WHERE id <= 20;

-- Of leads, some uses are permitted.
CREATE TABLE leads (id int PRIMARY KEY, city text, email text, phone text, code text, score int, iban text, wish text);
INSERT INTO leads SELECT i, 'City ' || i % 4, '{world}' || substr(md5('{world}lead' || i), 1, 6) || '@lead.example', '{world}' || i % (5 + {longer}), '{world}' || i % (3 + {longer}),
  ('x' || substr(md5('score{world}' || i), 1, 5))::bit(20)::int, '{word}' || i, '{world}' || i FROM generate_series(1, 24) i;
CREATE VIEW v_leads_thrice AS SELECT l.* FROM leads l, generate_series(1, 3);
CREATE TABLE words (w text);
INSERT INTO words SELECT body FROM notes;

UPDATE finance.salaries SET employee = '{word} ' || id, email = '{world}' || id || '@finance.example', salary = salary + {ssn} % 1000;
UPDATE finance.invoices SET amount = amount + {ssn} % 1000;
DELETE FROM finance.salaries WHERE id > {staff};
CREATE TABLE finance.accounts (iban text PRIMARY KEY, owner int);
INSERT INTO finance.accounts VALUES ('{word} iban', 1);

-- The order of rows on disk must not depend on their size.
CLUSTER customers USING customers_pkey;
REFRESH MATERIALIZED VIEW best_customers;
REFRESH MATERIALIZED VIEW revenue;
CREATE VIEW v_same AS SELECT id, name, email FROM customers;
CREATE VIEW v_renamed AS SELECT id, email AS contact, national_id AS n FROM customers;
CREATE VIEW v_over AS SELECT id, contact AS c FROM v_renamed;
CREATE VIEW v_expr AS SELECT id, lower(email) AS contact, reverse(card) AS k, name || ' ' || country AS label FROM customers;
CREATE VIEW v_union AS SELECT email AS x FROM customers UNION ALL SELECT body FROM notes;
CREATE VIEW v_agg AS SELECT country, string_agg(email, ',' ORDER BY id) AS emails, min(card) AS first FROM customers GROUP BY country;
CREATE VIEW v_where AS SELECT id FROM customers WHERE email LIKE 'zq%';
CREATE VIEW v_order AS SELECT id FROM customers ORDER BY email LIMIT 5;
CREATE VIEW v_row AS SELECT id, customers AS r FROM customers;
CREATE VIEW v_json AS SELECT id, to_jsonb(customers) AS j FROM customers;
CREATE VIEW v_invoices AS SELECT id, amount FROM finance.invoices;
CREATE VIEW v_total AS SELECT sum(salary) AS total, count(*) AS heads FROM finance.salaries;
CREATE VIEW v_stats AS SELECT most_common_vals::text AS v, histogram_bounds::text AS h FROM pg_stats;
CREATE MATERIALIZED VIEW m_mails AS SELECT id, email AS contact FROM customers;
CREATE MATERIALIZED VIEW m_prefix AS SELECT left(email, 4) AS p, count(*) AS n FROM customers GROUP BY 1;

CREATE SCHEMA app;
CREATE FUNCTION mail_of(i int) RETURNS text LANGUAGE sql STABLE AS 'SELECT email FROM public.customers WHERE id = i';
CREATE FUNCTION mail_definer(i int) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS 'SELECT email FROM customers WHERE id = i';
CREATE FUNCTION all_customers() RETURNS SETOF customers LANGUAGE sql STABLE AS 'SELECT * FROM public.customers ORDER BY id';
CREATE FUNCTION whole(c customers) RETURNS text LANGUAGE sql STABLE AS 'SELECT c.email';
CREATE FUNCTION cursor_of() RETURNS refcursor LANGUAGE plpgsql AS $$ DECLARE c refcursor := 'leaked'; BEGIN OPEN c FOR SELECT email FROM public.customers ORDER BY id; RETURN c; END $$;
CREATE FUNCTION dynamic(q text) RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN RETURN QUERY EXECUTE q; END $$;
CREATE PROCEDURE tell(i int, INOUT m text DEFAULT NULL) LANGUAGE plpgsql AS $$ BEGIN
 SELECT email INTO m FROM public.customers WHERE id = i; RAISE NOTICE 'it is %', m; END $$;
CREATE FUNCTION blurt(i int) RETURNS int LANGUAGE plpgsql AS $$ DECLARE m text; BEGIN
 SELECT email INTO m FROM public.customers WHERE id = i; RAISE EXCEPTION 'no %', m USING DETAIL = m, HINT = m; END $$;
CREATE FUNCTION app.lower(text) RETURNS text LANGUAGE sql AS 'SELECT email::text FROM public.customers WHERE id = 1';
CREATE FUNCTION app.count(int) RETURNS text LANGUAGE sql AS 'SELECT email::text FROM public.customers WHERE id = 1';
CREATE FUNCTION app.plus(int, int) RETURNS text LANGUAGE sql AS 'SELECT email::text FROM public.customers WHERE id = 1';
CREATE OPERATOR app.+ (LEFTARG = int, RIGHTARG = int, FUNCTION = app.plus);
CREATE VIEW app.notes AS SELECT id, email AS body, 1 AS n FROM public.customers;
CREATE FUNCTION noisy() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE m text; BEGIN
 SELECT string_agg(email, ',' ORDER BY id) INTO m FROM public.customers WHERE id < 9; RAISE NOTICE 'saw %', m; PERFORM pg_notify('gossip', m); RETURN new; END $$;
CREATE TABLE alarms (id int UNIQUE, what text CHECK (what <> 'bad'));
CREATE TRIGGER noisy BEFORE INSERT ON alarms FOR EACH ROW EXECUTE FUNCTION noisy();
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE m text; BEGIN
 SELECT email INTO m FROM public.customers WHERE id = 1; RAISE EXCEPTION 'no %', m USING DETAIL = m, HINT = m, COLUMN = m, TABLE = m, SCHEMA = m, CONSTRAINT = m, DATATYPE = m, ERRCODE = '23505'; END $$;
CREATE TABLE shouts (id int);
CREATE TRIGGER shout BEFORE INSERT ON shouts FOR EACH ROW EXECUTE FUNCTION shout();
CREATE FUNCTION copying() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
 SELECT email INTO new.body FROM public.customers WHERE id = new.n; RETURN new; END $$;
CREATE TABLE inbox (id int, body text, n int);
CREATE TRIGGER copying BEFORE INSERT ON inbox FOR EACH ROW EXECUTE FUNCTION copying();
CREATE TABLE ruled (id int, body text);
CREATE RULE ruled AS ON INSERT TO ruled DO INSTEAD SELECT email FROM customers ORDER BY id;
CREATE TABLE defaulted (id int, body text DEFAULT mail_of(1));
CREATE TABLE generated (id int, email text, loud text GENERATED ALWAYS AS (upper(email)) STORED);
CREATE SEQUENCE counter;
CREATE STATISTICS st (mcv) ON email, national_id FROM customers;
CREATE INDEX ON customers (lower(email));
SELECT lo_from_bytea(4242, convert_to('{word} large', 'UTF8'));
CREATE EXTENSION hstore;
CREATE EXTENSION tablefunc;
CREATE EXTENSION dblink;
CREATE EXTENSION fuzzystrmatch;
CREATE EXTENSION pg_trgm;
VACUUM ANALYZE;
