"""Code of all subpackages: errors, names, paths, ranges of numbers, small files."""
