SELECT count(*) - count(DISTINCT partition) FROM queue_snapshots WHERE time < $1
