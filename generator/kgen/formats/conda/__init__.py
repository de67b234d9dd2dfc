"""Locks for conda: request -> match specs and a machine to solve for -> packages -> judged -> conda-lock.yml."""
