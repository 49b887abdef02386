"""The subcommands of `baton`, one per file."""
