"""The process: files, signals, command line, configuration, metrics, admin page. Imports all other packages."""
