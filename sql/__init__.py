"""Data only: migrations and queries, read through importlib.resources."""
