"""Shapes of `forward`, and what becomes of each on its way through the tools."""
