-- Who reads as of a moment before $1, but for the session $2 and those who wait for it: writers that it holds up.
SELECT format('%s (%s%s, since %s)', pid, usename, coalesce(', ' || nullif(application_name, ''), ''),
              date_trunc('second', xact_start)) AS session
FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> $2
    AND backend_xmin IS NOT NULL AND xact_start < $1::timestamptz AND NOT $2 = ANY (pg_blocking_pids(pid))
ORDER BY xact_start
