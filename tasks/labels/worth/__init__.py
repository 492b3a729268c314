"""What labels are worth: a reward head fitted to them, what it expects of the rest."""
