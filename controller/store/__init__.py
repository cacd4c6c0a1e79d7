"""What must survive a restart: SQLite in WAL mode, plain SQL migrations. I/O.

`database` opens, migrates and transacts; the other modules hold the statements of one subject each.
Several processes may have the store open at once (``serve`` and the command line).
"""
