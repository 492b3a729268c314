"""From selected pairs to preferences, and files in and out."""
