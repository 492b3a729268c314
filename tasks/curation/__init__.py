"""From prompts to selected pairs."""
