"""From preferences to a policy."""
