"""The parsers of the command line, by what the commands are for; stages do the work."""
