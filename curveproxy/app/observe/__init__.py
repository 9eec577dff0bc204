"""What is told: log, metrics, history, status."""
