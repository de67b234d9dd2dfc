"""The command line: parses, calls, prints. The only place that puts stages together and talks to a person."""
