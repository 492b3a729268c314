"""What was found of a run's prompts and candidates, before it selects and while it does."""
