"""Decisions from facts: who may connect, how many, how fast. Pure: time is an argument."""
