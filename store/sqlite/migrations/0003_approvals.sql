-- revision grows with every change of a request; deliveries says which one each
-- channel was told of.
ALTER TABLE approvals ADD COLUMN kind TEXT NOT NULL DEFAULT '';
ALTER TABLE approvals ADD COLUMN revision BIGINT NOT NULL DEFAULT 1;
ALTER TABLE approvals ADD COLUMN escalated BIGINT NOT NULL DEFAULT 0;
ALTER TABLE approvals ADD COLUMN uses BIGINT NOT NULL DEFAULT 0;
ALTER TABLE approvals ADD COLUMN fingerprint TEXT NOT NULL DEFAULT '';
ALTER TABLE approvals ADD COLUMN shape BLOB;
CREATE INDEX approvals_changed ON approvals (changed);
CREATE INDEX approvals_fingerprint ON approvals (fingerprint, created);
CREATE INDEX approvals_shape ON approvals (shape) WHERE shape IS NOT NULL;

CREATE TABLE deliveries (
    channel   TEXT NOT NULL,
    approval  TEXT NOT NULL REFERENCES approvals (id) ON DELETE CASCADE,
    told      BIGINT NOT NULL,
    ref       TEXT NOT NULL,
    attempts  BIGINT NOT NULL,
    due       BIGINT NOT NULL,
    remind    BIGINT NOT NULL,
    escalated BIGINT NOT NULL,
    PRIMARY KEY (channel, approval)
);
