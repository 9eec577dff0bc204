"""The process: its configuration applied, its signals, its workers, its service manager."""
