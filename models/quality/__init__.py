"""How far labels can be trusted: agreement, suspects, each annotator's reliability."""
