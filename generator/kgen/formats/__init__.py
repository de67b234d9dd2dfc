"""The forms that a lock can have: a package each, and what an environment on disk is whatever it was made from."""
