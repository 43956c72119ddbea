-- Live jobs of one state by id.
SELECT id, queue, version FROM jobs WHERE state = $1 AND id > $2 ORDER BY id LIMIT $3
