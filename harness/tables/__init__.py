"""Tables: the records of one run, and what they are of, as files; making, reading, finding and migrating them."""
