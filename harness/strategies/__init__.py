"""Strategies: each a named route of steps and a runtime, one file a strategy."""
