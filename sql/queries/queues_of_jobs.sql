SELECT id::text, queue, state FROM jobs WHERE id = ANY ($1::uuid[])
