"""Reports: a table as a grid, two tables as a comparison with its verdict, for a terminal and in Markdown."""
