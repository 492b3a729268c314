"""One Prefect task a step: read (short transaction), compute with none open, write (short transaction), publish."""
