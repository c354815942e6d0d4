-- The tables of pgbench, small.
CREATE TABLE pgbench_branches (bid int PRIMARY KEY, bbalance int, filler char(88));
CREATE TABLE pgbench_tellers (tid int PRIMARY KEY, bid int, tbalance int, filler char(84));
CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));
CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
INSERT INTO pgbench_branches SELECT i, 0, 'branch ' || i FROM generate_series(1, 2) i;
INSERT INTO pgbench_tellers SELECT i, 1 + i % 2, 0, 'teller ' || i FROM generate_series(1, 20) i;
INSERT INTO pgbench_accounts SELECT i, 1 + i % 2, i * 37 % 1000, 'account ' || i FROM generate_series(1, 2000) i;
VACUUM ANALYZE;
