"""Alignment training: losses, log-probabilities, the trainer, and what a trained policy is measured by."""
