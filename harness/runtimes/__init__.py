"""Runtimes: what serves an artifact, one file a runtime."""
