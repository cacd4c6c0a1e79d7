"""Objects on SQLite, with one resourceVersion for all of them and a history for watches. I/O.

`database` opens the file, `store` reads and writes. A database of its own, ``orchestration.db``: the mesh's
is another, and neither waits for the other.
"""
