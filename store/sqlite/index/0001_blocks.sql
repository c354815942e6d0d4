-- The index of the journal; everything here can be built again from it.
CREATE TABLE blocks (
    log      TEXT NOT NULL,
    first    BIGINT NOT NULL,
    last     BIGINT NOT NULL,
    segment  BIGINT NOT NULL,
    place    BIGINT NOT NULL,
    min_time BIGINT NOT NULL,
    max_time BIGINT NOT NULL,
    tags     BLOB NOT NULL,
    PRIMARY KEY (log, first)
) WITHOUT ROWID;
