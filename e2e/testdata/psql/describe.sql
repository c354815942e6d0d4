-- What psql's own commands show.
\ir objects.sql
\d
\d people
\d+ parts
\d happy
\d+ happy
\dt *.*thing
\df
\df+ shout
\sf shout
\dn
\dT+
\di
\dv
\dm
\ds
\du app
\l app
\dp people
\d other.*
\encoding
\echo :SERVER_VERSION_NUM :DBNAME :USER
SELECT current_database(), current_user, session_user;
SHOW server_version;
SHOW standard_conforming_strings;
SELECT 1 AS one, 'two' AS two \gdesc
SELECT name, mood FROM people ORDER BY id \gx
SELECT 'x' || n FROM generate_series(1, 2) n \gexec
SELECT name AS who FROM people WHERE id = 1 \gset
\echo :who
SELECT mood, age > 20, count(*) FROM people GROUP BY 1, 2 ORDER BY 1, 2 \crosstabview mood
