"""From the file system to whole lines: where to look, what changed, when it has settled, and what is written there."""
