-- Generations that are loaded, swapped and retired while workers run.
ALTER TABLE aqueduct_internal.views
    -- Since when it is in this state.
    ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now(),
    -- When its load was complete. Only then it is consumed; null while it is loaded.
    ADD COLUMN loaded_at  timestamptz;
UPDATE aqueduct_internal.views SET changed_at = created_at, loaded_at = created_at;

CREATE UNIQUE INDEX views_one_building ON aqueduct_internal.views (view) WHERE state = 'building';

-- Every change of state, also of generations that were cancelled and have no row any more: their numbers are not used again.
CREATE TABLE aqueduct_internal.view_changes (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT now(),
    view       text        NOT NULL,
    generation integer     NOT NULL,
    -- Null when it was made by this.
    from_state text,
    to_state   text        NOT NULL,
    why        text        NOT NULL
);

INSERT INTO aqueduct_internal.view_changes (at, view, generation, to_state, why)
SELECT created_at, view, generation, state, 'registered' FROM aqueduct_internal.views ORDER BY created_at;
