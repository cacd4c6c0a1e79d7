"""Command lines of an edge host: ``overlayd`` (its processes) and ``overlayctl`` (asking and telling
them). I/O.

Both import lazily: a command pays for what it uses.
"""
