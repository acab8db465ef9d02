"""Benchmarks of training, inference and input, beside other implementations."""
