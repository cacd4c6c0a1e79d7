"""The mathematics of loss repair, written to be read: the oracle that the Rust codec is checked against.

Pure: no I/O, no clock, no randomness of its own.
"""
