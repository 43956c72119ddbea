DELETE FROM flows WHERE id = ANY ($1::uuid[]) AND jobs = 0
