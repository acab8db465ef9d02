"""Code that every room uses: errors, names, paths, ranges of numbers, small files."""
