"""Brings queues back whose log in Redis was lost, or went back, from the archive.

findings   which logs are lost, and what is left of them
salvage    events that are in what is left and not in the archive
plan       what the archive says of a partition: settings, schedules, locks
report     what was done, and what could not be
course     all of it in order
"""
