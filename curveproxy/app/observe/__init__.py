"""What operators see: log, metrics, history and status."""
