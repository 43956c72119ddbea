"""Tamper evidence of the archive: makes heads, tells them, and proves single events by them."""
