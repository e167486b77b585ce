"""Lessons back to the agents: which of them fit the moment."""
