"""Who has the cells of an environment run: one bench after another, several side by side, or those of many machines."""
