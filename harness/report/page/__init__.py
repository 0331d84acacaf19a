"""The page: one HTML file that shows tables, without a network, a server or anything beside it."""
