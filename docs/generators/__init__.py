"""What `docs/generate.py` writes: one page of the reference a file."""
