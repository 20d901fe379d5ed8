"""Tools for raw files: bad data on purpose, what differs between two files, subruns cut anew, tables for others.

They work on the container and on what :mod:`gm2sim.raw` reads, and share no code with its writer.
"""
