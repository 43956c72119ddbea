-- What LIKE does not copy of a table: how it is partitioned, its options, its keys and grants.
SELECT pg_get_partkeydef(c.oid) AS partitioned,
       array_to_string(c.reloptions, ', ') AS options,
       ARRAY(SELECT format('CONSTRAINT %I %s', conname, pg_get_constraintdef(oid))
               FROM pg_constraint WHERE conrelid = c.oid AND contype IN ('p', 'u')) AS keys,
       ARRAY(SELECT format('GRANT %s ON %%s TO %s', privilege_type,
                           CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE grantee::regrole::text END)
               FROM aclexplode(c.relacl) WHERE grantee <> c.relowner) AS grants
  FROM pg_class c WHERE c.oid = $1::regclass
