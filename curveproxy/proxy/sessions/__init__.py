"""The sessions of a service: who may have one, who waits for one, and those that have begun."""
