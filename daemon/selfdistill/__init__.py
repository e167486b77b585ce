"""selfdistill: lessons out of the conversation logs of AI coding agents. Kept empty: `status` must start at once."""
