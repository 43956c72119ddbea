"""Brings queues back whose log in Redis is lost or has gone back, and PostgreSQL to what logs hold.

course    all of a restore: which queues, and in which order
findings  how a log stands against its archive
partition  one queue: halt, salvage, make anew, open
plan      what the archive says beside jobs
salvage   what is left of a log and is not archived
making    hot state of jobs
links     who waits for whom
subjects  keys of persons
report    what was done, and what was lost
imports   events back into PostgreSQL
"""
