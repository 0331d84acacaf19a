"""Writes one Python script that shows what became of a cell without this harness, and checks it by running it."""
