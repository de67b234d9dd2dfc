"""Updates the matrix from an index: reads what is new, composes rows, and keeps what was written by hand."""
