"""Frozen values that every layer speaks of; knows nothing of files, programs or the matrix."""
