SELECT * FROM flows WHERE id = $1
