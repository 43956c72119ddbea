"""The HTTP API: takes commands, serves the projected tables."""
