-- All tables of a schema but the rebuild's own.
SELECT quote_ident(relname) AS name FROM pg_class
 WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p') AND relname NOT LIKE 'rebuild\_%'
 ORDER BY relname
