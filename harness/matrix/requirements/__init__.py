"""Requirements as people have them: read in any of their forms, locked, and kept under `.harness/`."""
