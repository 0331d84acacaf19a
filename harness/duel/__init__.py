"""A duel: launches of two combinations in pairs, and what they show.

`pairs` makes one number of a pair, `statistics` tests many of them, `sequential` at each look, `deciding` says of every
cell of a duel what it came to and which go on, `thresholds` knows what a machine's A/A duels taught, and `power` says
what a design would have found. None of these reads, writes or starts anything.

The others do: `preparing` converts the cells of a side and has them wait, `pairing` starts a process of each side and
has them take turns, `contesting` takes pair after pair until all is decided, and `machines` keeps what was learnt of
this machine. Memory needs no duel: its rule is in `harness.verdict.memory`.
"""
