-- Times are microseconds since 1970, 0 for none. Documents are JSON.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL
);

CREATE TABLE tokens (
    id         TEXT PRIMARY KEY,
    issuer     TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    hash       BLOB NOT NULL,
    salt       BLOB NOT NULL,
    rounds     BIGINT NOT NULL,
    stored_key BLOB NOT NULL,
    server_key BLOB NOT NULL,
    note       TEXT NOT NULL,
    created    BIGINT NOT NULL,
    expires    BIGINT NOT NULL,
    revoked    BIGINT NOT NULL
);
CREATE INDEX tokens_user ON tokens (user_id, issuer);

CREATE TABLE approvals (
    id        TEXT PRIMARY KEY,
    digest    BLOB NOT NULL,
    state     TEXT NOT NULL,
    issuer    TEXT NOT NULL,
    requester TEXT NOT NULL,
    document  TEXT NOT NULL,
    sealed    BLOB,
    created   BIGINT NOT NULL,
    expires   BIGINT NOT NULL,
    changed   BIGINT NOT NULL
);
CREATE INDEX approvals_state ON approvals (state, created);
CREATE INDEX approvals_digest ON approvals (digest);

CREATE TABLE votes (
    approval TEXT NOT NULL REFERENCES approvals (id) ON DELETE CASCADE,
    place    BIGINT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (approval, place)
);
