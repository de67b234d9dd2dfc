"""Immutable values that all layers share; independent of files, programs and the matrix."""
