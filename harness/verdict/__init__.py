"""The verdict: two tables compared cell by cell, and what a policy makes of it. Nothing here reads or writes."""
