-- How far the load of a generation that is being built has come, and which process works on it. It goes with its generation.
CREATE TABLE aqueduct_internal.loads (
    view       text        NOT NULL,
    generation integer     NOT NULL,
    -- Where it was to begin and to end, noted before it began.
    plan       jsonb       NOT NULL,
    -- What is done of it, by name. Noted in the transaction that writes it.
    units      jsonb       NOT NULL DEFAULT '{}',
    -- The process that works on it, none between two. It changes `beat` while it does.
    owner      text,
    owned_by   text        NOT NULL,
    beat       bigint      NOT NULL DEFAULT 0,
    PRIMARY KEY (view, generation),
    FOREIGN KEY (view, generation) REFERENCES aqueduct_internal.views ON DELETE CASCADE
);
