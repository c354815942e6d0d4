-- A bit of everything that a dump has to carry.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TABLE people (
    id int PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    mood mood DEFAULT 'ok',
    age positive,
    tags text[] DEFAULT '{}',
    data jsonb,
    photo bytea,
    born date,
    seen timestamptz,
    UNIQUE (name)
);
COMMENT ON TABLE people IS 'Leute, 人, люди';
INSERT INTO people (name, mood, age, tags, data, photo, born, seen) VALUES
    ('Ada', 'happy', 36, '{math,"two words"}', '{"a": [1, 2.5, null], "b": "ü"}', '\x00ff10', '1815-12-10', '2024-02-29 12:00:00+00'),
    ('Blaise', NULL, NULL, NULL, NULL, NULL, '1623-06-19', '-infinity'),
    (E'tab\there\nand \\ there', 'sad', 1, '{NULL}', 'null', '', NULL, 'infinity');
CREATE TABLE parts (k int, v text) PARTITION BY LIST (k);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE parts_rest PARTITION OF parts DEFAULT;
INSERT INTO parts SELECT i % 3, 'part ' || i FROM generate_series(1, 30) i;
CREATE INDEX people_lower ON people (lower(name));
CREATE VIEW happy AS SELECT id, name FROM people WHERE mood = 'happy';
CREATE MATERIALIZED VIEW by_mood AS SELECT mood, count(*) FROM people GROUP BY mood;
CREATE FUNCTION shout(text) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT upper($1) || '!' $$;
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := NEW.name; RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION touch();
CREATE SEQUENCE numbers START 100 INCREMENT 5;
SELECT nextval('numbers'), nextval('numbers');
CREATE SCHEMA other;
CREATE TABLE other.thing (id bigserial PRIMARY KEY, person int REFERENCES people);
INSERT INTO other.thing (person) VALUES (1), (2);
