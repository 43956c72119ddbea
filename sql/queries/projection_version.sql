SELECT version FROM :live.projections WHERE name = $1
