"""The commands of the command line: what each takes, and which flow or step does it."""
