"""Installers: a lockfile in, an environment on disk out, and whether one on disk is what the lock says."""
