"""How rows are written in bulk. Knows no table."""
