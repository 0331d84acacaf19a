"""Models that nobody wrote a file for: a spec and its inputs become a model file, a path like any other."""
