"""Attempts: one execution of one plan in one environment, from its identity to its table."""
