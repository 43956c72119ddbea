SELECT queue, type, state, failure, fingerprint, discarded, flow, count(*)
  FROM :table GROUP BY queue, type, state, failure, fingerprint, discarded, flow
