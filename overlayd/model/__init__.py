"""The shared vocabulary: what a node, link, path, class and route are. Frozen values; no I/O, no clock, no
randomness.
"""
