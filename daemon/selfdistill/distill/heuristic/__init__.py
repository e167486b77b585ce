"""The heuristic distiller: lessons from signals, without a model."""
