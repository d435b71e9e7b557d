-- How far tombstones of a generation were removed. Every batch of a worker reads its row, so it is a table of its own.
CREATE TABLE aqueduct_internal.purges (
    view           text        NOT NULL,
    generation     integer     NOT NULL,
    -- Every tombstone of an event at or before this moment may be gone. Noted before the first is removed; it only rises.
    purged_through timestamptz NOT NULL,
    -- Somebody is removing some, until then at the latest. Null when nobody is.
    until          timestamptz,
    PRIMARY KEY (view, generation),
    FOREIGN KEY (view, generation) REFERENCES aqueduct_internal.views ON DELETE CASCADE
);
