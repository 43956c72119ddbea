-- From when on counts of a queue are kept.
SELECT min(time) FROM queue_snapshots WHERE partition = $1
