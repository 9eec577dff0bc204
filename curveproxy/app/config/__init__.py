"""The configuration file and the key files that it names."""
