-- Partitions of a table that another schema ($2) has no table of that name for.
SELECT quote_ident(c.relname) AS name, pg_get_expr(c.relpartbound, c.oid) AS bounds
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
 WHERE i.inhparent = $1::regclass
   AND NOT EXISTS (SELECT FROM pg_class other
                    WHERE other.relname = c.relname AND other.relnamespace = $2::regnamespace)
 ORDER BY c.relname
