-- Indexes of a table that another ($2) has none of that name of.
SELECT pg_get_indexdef(i.indexrelid) AS sql,
       CASE WHEN t.relkind = 'p' THEN 'ONLY ' ELSE '' END
           || quote_ident(n.nspname) || '.' || quote_ident(t.relname) AS on
  FROM pg_index i
  JOIN pg_class x ON x.oid = i.indexrelid
  JOIN pg_class t ON t.oid = i.indrelid
  JOIN pg_namespace n ON n.oid = t.relnamespace
 WHERE i.indrelid = $1::regclass
   AND NOT EXISTS (SELECT FROM pg_index o JOIN pg_class ox ON ox.oid = o.indexrelid
                    WHERE o.indrelid = $2::regclass AND ox.relname = x.relname)
 ORDER BY x.relname
