"""Files that are read again when they change: client keys and server keys."""
