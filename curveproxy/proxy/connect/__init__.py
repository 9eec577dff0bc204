"""From an endpoint to an established peer."""
