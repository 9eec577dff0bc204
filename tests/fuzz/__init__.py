"""Fuzzing: what peers send, to every function that reads it, and at the running process."""
