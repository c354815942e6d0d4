-- A token knows when its holder proved who they are, and who acts for them. One
-- that a provider renews keeps the provider's refresh token, encrypted.
ALTER TABLE tokens ADD COLUMN authenticated BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tokens ADD COLUMN actors TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN scope TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN provider TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN until BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tokens ADD COLUMN checked BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tokens ADD COLUMN sealed BLOB;

CREATE TABLE people (
    name     TEXT PRIMARY KEY,
    issuer   TEXT NOT NULL,
    subject  TEXT NOT NULL,
    document TEXT NOT NULL,
    UNIQUE (issuer, subject)
);
