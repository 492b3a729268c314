"""Queries about labels: judgements, preferences, what is to be labelled and by whom, and data sets of labels."""
