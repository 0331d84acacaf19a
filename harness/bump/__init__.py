"""Between a base and a candidate: what moved, which of it breaks, and what passes instead, told from cells that ran."""
