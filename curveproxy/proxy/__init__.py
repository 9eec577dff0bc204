"""Sockets, tasks, deadlines. Imports wire and policy."""
