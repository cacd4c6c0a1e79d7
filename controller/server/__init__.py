"""The live shell around `controller.core`: channels to agents, membership, the clock, what to persist.
I/O.

`service` is the process and its order of concerns; `channel` speaks with agents; `membership` lets nodes
in and out.
"""
