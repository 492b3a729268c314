"""Backends in processes of their own: one each, one for several, or actors of a Ray cluster."""
