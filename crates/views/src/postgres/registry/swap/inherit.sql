-- What the relation $1 has been given that its successor $2 does not have by being made, as statements in their order.
WITH one AS (
    SELECT old.oid AS old, new.oid AS new, new.oid::regclass::text AS name, new.relkind = 'v' AS is_view,
           old.reloptions AS options,
           coalesce(old.relacl, acldefault('r', old.relowner)) AS given,
           coalesce(new.relacl, acldefault('r', new.relowner)) AS found
    FROM pg_class old, pg_class new
    WHERE old.oid = $1::text::regclass AND new.oid = $2::text::regclass
), statements AS (
    SELECT 1 AS step, format('ALTER VIEW %s SET (%s)', name, array_to_string(options, ', ')) AS statement
    FROM one WHERE is_view AND options IS NOT NULL
    UNION ALL
    -- A view begins with what default privileges give, and ends with what the one before it had. A table only gains.
    SELECT DISTINCT 2, format('REVOKE ALL ON TABLE %s FROM %s', name,
        CASE entry.grantee WHEN 0 THEN 'PUBLIC' ELSE entry.grantee::regrole::text END)
    FROM one, aclexplode(found) AS entry WHERE is_view
    UNION ALL
    SELECT 3, format('GRANT %s ON TABLE %s TO %s%s', entry.privilege_type, name,
        CASE entry.grantee WHEN 0 THEN 'PUBLIC' ELSE entry.grantee::regrole::text END,
        CASE WHEN entry.is_grantable AND entry.grantee <> 0 THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM one, aclexplode(given) AS entry
    UNION ALL
    SELECT 4, format('GRANT %s (%I) ON TABLE %s TO %s%s', entry.privilege_type, attname, name,
        CASE entry.grantee WHEN 0 THEN 'PUBLIC' ELSE entry.grantee::regrole::text END,
        CASE WHEN entry.is_grantable AND entry.grantee <> 0 THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM one JOIN pg_attribute ON attrelid = old AND attnum > 0 AND NOT attisdropped, aclexplode(attacl) AS entry
    WHERE EXISTS (SELECT FROM pg_attribute kept
                  WHERE kept.attrelid = new AND kept.attname = pg_attribute.attname AND NOT kept.attisdropped)
    UNION ALL
    SELECT 5, format('COMMENT ON VIEW %s IS %L', name, obj_description(old, 'pg_class'))
    FROM one WHERE is_view AND obj_description(old, 'pg_class') IS NOT NULL
    UNION ALL
    SELECT 6, format('COMMENT ON COLUMN %s.%I IS %L', name, kept.attname, col_description(old, had.attnum))
    FROM one
    JOIN pg_attribute had ON had.attrelid = old AND had.attnum > 0
    JOIN pg_attribute kept ON kept.attrelid = new AND kept.attname = had.attname
    WHERE is_view AND col_description(old, had.attnum) IS NOT NULL
)
SELECT statement FROM statements ORDER BY step, statement
