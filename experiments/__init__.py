"""One ablation a file."""
