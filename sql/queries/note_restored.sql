UPDATE log_losses SET new_epoch = $3, restored_at = now(), report = $4
 WHERE partition = $1 AND epoch = $2 AND restored_at IS NULL
