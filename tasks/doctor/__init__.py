"""Whether this machine, this database and this Prefect server can do the work."""
