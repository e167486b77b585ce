"""The LLM distiller: what the model sees, what may come back, and what it costs."""
