-- A lost log was opened again. Of a restore that was killed right then the next one says so.
UPDATE log_losses SET restored_at = now()
 WHERE partition = $1 AND new_epoch <= $2 AND restored_at IS NULL
