"""Apps for workers of benchmarks: each brings handlers that do nothing."""
