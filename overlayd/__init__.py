"""What runs on an edge host, and the vocabulary that every plane shares.

Floors, from the ground up: `model`, `protocol`, `agent` (pure); `daemon`, `cli` (I/O).
"""
