"""Benchmarks: what the documentation claims, measured by a command (``make bench``)."""
