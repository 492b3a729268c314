"""Questions to any OpenAI-compatible chat server: limits, the one reader of replies, the one rule of giving up."""
