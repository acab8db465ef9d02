"""Benchmarks of training, inference and data loading.

Another implementation of the same network or loader, called the peer, can be timed in
turns with ours.
"""
