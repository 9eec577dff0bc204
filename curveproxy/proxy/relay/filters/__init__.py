"""What is left out on the way, message by message."""
