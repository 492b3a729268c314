"""The labelling page."""
