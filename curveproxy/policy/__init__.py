"""May they? Decisions from facts. Pure: time is an argument."""
