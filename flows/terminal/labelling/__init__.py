"""What the commands print of labels: people, queues, judges, files."""
