"""A Prefect server's side of the service: deployments, workers, everything on one machine."""
