"""What studies found out, trial by trial."""
