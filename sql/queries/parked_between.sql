SELECT epoch, seq FROM parked_events
 WHERE partition = $1 AND (epoch, seq) > ($2, $3) AND time <= $4
