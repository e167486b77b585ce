"""What happened, read from events: pure folds and patterns from tool calls and human turns to signals and outcomes."""
