"""One module per command, each thin: it parses, calls a room below, prints, and returns an exit code."""
