"""The matrix read against the wheels again, by code that shares nothing with what wrote the rows."""
