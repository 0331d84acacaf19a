"""What failures are known to be: rules, which are data, held against records."""
