"""Turns answers of the solver and the lockers into text for people and data for programs."""
