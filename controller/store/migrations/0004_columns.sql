-- Routes in force: one row for all of a source, as they were sent (`overlayd.protocol.routes`). What the older table held
-- is chosen anew.
DROP TABLE routes;
CREATE TABLE routes (
    source INTEGER PRIMARY KEY,
    routes BLOB NOT NULL
) STRICT;
-- What a decision changed of a source's primaries, as columns (`controller.core.changes`). `route_history` goes on for
-- what nodes do by themselves.
CREATE TABLE route_changes (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    source INTEGER NOT NULL,
    changes BLOB NOT NULL
) STRICT;
CREATE INDEX route_changes_by_source ON route_changes (source, at);
CREATE INDEX route_changes_by_time ON route_changes (at);
