-- What is known of a loss that was not restored yet, and the last epoch ever given to a partition.
SELECT (SELECT max(known) FROM log_losses
         WHERE partition = $1 AND epoch = $2 AND restored_at IS NULL) AS known,
       (SELECT max(new_epoch) FROM log_losses WHERE partition = $1) AS epoch
