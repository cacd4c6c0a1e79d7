-- Paths pinned by hand. `class` -1: all classes; `relays` are ids by commas, none: the direct path.
CREATE TABLE pins (
    source INTEGER NOT NULL,
    destination INTEGER NOT NULL,
    class INTEGER NOT NULL,
    relays TEXT NOT NULL,
    set_at REAL NOT NULL,
    PRIMARY KEY (source, destination, class)
) STRICT, WITHOUT ROWID;
