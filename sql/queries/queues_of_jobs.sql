SELECT id::text, queue, state, discarded FROM jobs WHERE id = ANY ($1::uuid[])
