"""What the events of a partition say Redis must hold of it: pure, for a restore.

jobs       the hot state of live jobs
schedules  where schedules stand
settings   mode, limits, job types
"""
