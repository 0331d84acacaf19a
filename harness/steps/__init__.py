"""Steps: each turns one artifact into another, one file a step."""
