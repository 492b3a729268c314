"""Processes beside the command's own: Prefect's server, and how they end."""
