"""Imported by each interpreter that finds this directory on PYTHONPATH: the processes that our processes start."""

__import__("poisonous")
