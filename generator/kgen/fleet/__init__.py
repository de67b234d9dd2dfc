"""Validation on other people's machines: what an engine is asked to run there, and what its answers are worth.

An engine (:mod:`kgen.fleet.reframe`, :mod:`kgen.fleet.kubernetes`) knows how jobs get to nodes and back. It is given
jobs and gives back folders; only :mod:`kgen.fleet.answers` says what is in them.
"""
