"""What is here, and what would stop a run: `harness doctor`. It changes nothing that it was not asked to mend."""
