"""What a monitoring system is told: counts, sums and states, never a text or a name."""
