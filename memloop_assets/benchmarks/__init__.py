"""Benchmarks: the frozen suite of tasks, and what policies score on it."""
