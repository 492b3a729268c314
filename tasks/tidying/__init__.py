"""Forget what is not wanted any more, rows and files; give things other names."""
