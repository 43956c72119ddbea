SELECT format('FOR VALUES FROM (%L) TO (%L)', :live.uuid_at($1), :live.uuid_at($2))
