"""The imperative shell: the one place with threads, signals, a lock, a clock and a status file."""
