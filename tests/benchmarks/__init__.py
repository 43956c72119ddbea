"""The benchmarks run, and judge what they measure as they say."""
