"""The forms of locks: a package for each, and what all of them have in common.

:mod:`kgen.model.format` finds the packages; :mod:`kgen.formats.interface` says which modules a package may have, and
what they hold.
"""
