"""Audits of events alone, pure: what a history must be, and how it is told where it is not."""
