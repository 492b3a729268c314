"""A language model as judge: its questions, the loop that asks them, what it may spend and what it said before."""
