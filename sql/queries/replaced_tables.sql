-- Those of the tables ($2, as quoted) that a schema has, and all partitions of them.
SELECT quote_ident(c.relname) AS name FROM pg_class c
 WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p')
   AND (quote_ident(c.relname) = ANY ($2::text[])
        OR EXISTS (SELECT FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent
                    WHERE i.inhrelid = c.oid AND p.relnamespace = c.relnamespace
                      AND quote_ident(p.relname) = ANY ($2::text[])))
 ORDER BY c.relname
