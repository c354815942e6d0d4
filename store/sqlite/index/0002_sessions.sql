-- The list of sessions, for people; what happened in them stands in the journal.
CREATE TABLE sessions (
    id       TEXT PRIMARY KEY,
    node     TEXT NOT NULL,
    issuer   TEXT NOT NULL,
    subject  TEXT NOT NULL,
    resource TEXT NOT NULL,
    opened   BIGINT NOT NULL,
    closed   BIGINT NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX sessions_opened ON sessions (opened);
CREATE INDEX sessions_open ON sessions (node) WHERE closed = 0;
