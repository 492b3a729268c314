"""What runs find in their prompts and responses. Sessions first, records in and out, no commit."""
