"""Verifies the tables against the archive, in constant memory; docs/verify.md."""
