"""What was found, in the forms that other programs read: each outlet is a pure function from facts to text."""
