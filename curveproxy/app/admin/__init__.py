"""The admin endpoint: metrics, readiness, and the status page."""
