"""Order and names of the steps; the command line. No logic."""
