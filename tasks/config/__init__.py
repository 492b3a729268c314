"""Configuration of runs: frozen sections, one description a field, the one home of every default."""
