"""Events and signals in, findings out; and lessons out of findings."""
