"""What the tables of every format are made of."""
