SELECT id, state, discarded FROM jobs WHERE id = ANY ($1::uuid[]) AND id BETWEEN $2::uuid AND $3::uuid
