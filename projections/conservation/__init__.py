"""Watches that every job that was accepted is still going somewhere; docs/verify.md."""
