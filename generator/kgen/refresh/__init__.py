"""Brings the matrix up to date from an index: reads what is new, composes rows, keeps what was written by hand."""
