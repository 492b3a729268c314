"""What goes with a thing that is forgotten, what keeps it; new names. SQL only: files are in `tasks.tidying`."""
