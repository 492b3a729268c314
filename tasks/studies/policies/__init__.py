"""Studies that train a policy for each trial. Knows no Prefect run."""
