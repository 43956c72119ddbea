SELECT id, type, queue, state FROM jobs WHERE flow = $1 AND id > $2 ORDER BY id LIMIT $3
