"""A run's folder, and what commands do with it."""
