"""The subcommands that are programs of their own: check, probe, demo, top."""
