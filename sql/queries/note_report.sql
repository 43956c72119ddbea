-- What a restore has made of a lost log, which is about to be opened.
UPDATE log_losses SET new_epoch = $3, report = $4
 WHERE partition = $1 AND epoch = $2 AND restored_at IS NULL
