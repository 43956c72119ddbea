-- How far a job has come, as its handler told it last: {value, message, at}. NULL: it told nothing.
ALTER TABLE jobs ADD COLUMN progress json;
