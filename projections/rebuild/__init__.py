"""Rebuilds tables from the archive beside those that serve, compares them, and puts them in place.

shadow     tables like the live ones in a schema of their own
source     the archive, window by window
strides    folds it into the shadow, a stride per transaction
shard      the process that folds one share of the jobs
compare    the shadow against the live tables, row by row
course     all of it in order, resumable at any point
"""
