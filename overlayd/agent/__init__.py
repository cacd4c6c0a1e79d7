"""The agent's decisions: estimates, order of paths, probed links, snapshots.

Pure: ``(event, now) -> commands``; no I/O, clock or randomness.
"""
