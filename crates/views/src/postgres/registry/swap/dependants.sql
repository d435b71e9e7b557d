-- What would go with the view $1 and cannot be made again: views and functions over it, triggers, rules and defaults on it.
SELECT DISTINCT CASE
    WHEN d.classid = 'pg_rewrite'::regclass THEN pg_describe_object('pg_class'::regclass, r.ev_class, 0)
    ELSE pg_describe_object(d.classid, d.objid, d.objsubid)
END AS dependant
FROM pg_class v
JOIN pg_depend d ON (d.refclassid = 'pg_class'::regclass AND d.refobjid = v.oid)
    OR (d.refclassid = 'pg_type'::regclass AND d.refobjid = v.reltype)
LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
WHERE v.oid = to_regclass($1) AND d.deptype IN ('n', 'a')
    -- Its own definition, and the type of its rows.
    AND (r.rulename = '_RETURN' AND r.ev_class = v.oid) IS NOT TRUE
    AND NOT (d.classid = 'pg_type'::regclass AND d.refclassid = 'pg_class'::regclass AND d.objid = v.reltype)
ORDER BY dependant
