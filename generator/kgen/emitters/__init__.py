"""Emitters: a lockfile in, the text of files out. They write nothing and start nothing."""
