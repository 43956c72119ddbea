SELECT partition, epoch, seq, reason FROM parked_events ORDER BY partition, epoch, seq LIMIT 1000
