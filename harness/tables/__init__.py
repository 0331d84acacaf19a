"""Tables: the records of one run as `cells.csv` and `run.json`; making, reading, finding and migrating them."""
