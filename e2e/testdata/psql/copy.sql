-- COPY in and out, by the server's statement and by psql's command.
CREATE TABLE c (id int, v text, x numeric);
COPY c FROM STDIN;
1	one	1.5
2	\N	2.25
3	a\ttab	-1
\.
COPY c TO STDOUT;
COPY c (id, v) TO STDOUT WITH (FORMAT csv, HEADER);
COPY (SELECT id, x FROM c WHERE id > 1 ORDER BY id) TO STDOUT;
\copy c to '/dev/null'
\copy c to stdout csv
\copy c from stdin csv
4,four,4
5,"with ""quotes"", and commas",5
\.
COPY c FROM STDIN;
not a number	x	1
\.
COPY c FROM STDIN;
6	short
\.
SELECT count(*) FROM c;
BEGIN;
COPY c FROM STDIN;
7	seven	7
\.
ROLLBACK;
SELECT count(*) FROM c;
COPY c TO STDOUT WITH (FORMAT binary) \g /dev/null
COPY nothing TO STDOUT;
INSERT INTO c SELECT i, repeat('x', 100), i FROM generate_series(10, 5000) i;
\copy (select id, v from c where id >= 10 order by id) to '/dev/null'
SELECT count(*), sum(id) FROM c;
CREATE SEQUENCE turn;
SELECT 10 / (3 - nextval('turn')) \watch 0.1
SELECT currval('turn');
