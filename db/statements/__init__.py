"""How many rows are written, and many values asked for, at once. Knows no table."""
