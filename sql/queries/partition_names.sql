SELECT child.relname
  FROM pg_inherits AS link JOIN pg_class AS child ON child.oid = link.inhrelid
 WHERE link.inhparent = to_regclass($1)
