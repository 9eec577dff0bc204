"""The process at work: configuration applied, signals, workers, the service manager."""
