-- Frames of all links by level: 0 each telemetry interval, 1 each five minutes, 2 each hour. `base` is the time of the
-- complete frame that a row's differences begin at, its own if it is complete. What the older table held was written
-- and never read.
DROP TABLE link_frames;
CREATE TABLE link_frames (
    level INTEGER NOT NULL,
    at REAL NOT NULL,
    base REAL NOT NULL,
    frame BLOB NOT NULL,
    PRIMARY KEY (level, at)
) STRICT;
