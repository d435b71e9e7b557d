-- Which generations of views exist, and what each of them is. Workers serve what stands here, not what a model file says.
CREATE TABLE aqueduct_internal.views (
    view       text        NOT NULL,
    generation integer     NOT NULL CHECK (generation > 0),
    type       text        NOT NULL,
    state      text        NOT NULL,
    -- The view as it was in the model when the generation was made, complete: columns, their types and expressions.
    definition jsonb       NOT NULL,
    digest     text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (view, generation)
);

CREATE UNIQUE INDEX views_one_live ON aqueduct_internal.views (view) WHERE state = 'live';
