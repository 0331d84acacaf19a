"""Combinations, locks, environments and runs: the harness's own side."""
