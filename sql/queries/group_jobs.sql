SELECT queue, type, state, failure, fingerprint, discarded, count(*)
  FROM :table GROUP BY queue, type, state, failure, fingerprint, discarded
