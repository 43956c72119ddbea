"""Measures Millstream on embedded servers: `python -m benchmarks --help`."""
