"""The training step: run by an environment's own interpreter, never imported by kgen.

Standard library, NumPy and Keras only. Runs on CPython 3.6 and later, NumPy 1.13 and later, and every generation of
Keras, so there is nothing here that these do not all have.
"""

VERSION = 2
"""Raised when what is computed, or what the result says, changes."""
