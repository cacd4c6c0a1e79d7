-- One row: what the network is, and its counters.
CREATE TABLE network (
    singleton INTEGER PRIMARY KEY CHECK (singleton = 1),
    id INTEGER NOT NULL CHECK (id BETWEEN 1 AND 4294967295),
    name TEXT NOT NULL,
    suite TEXT NOT NULL,
    psk TEXT NOT NULL,
    ipv4_pool TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    generation INTEGER NOT NULL DEFAULT 0,
    resource_version INTEGER NOT NULL DEFAULT 0
) STRICT;

-- `object` is the Node as JSON. Rows of removed nodes stay: their ids must not come back while a certificate lives.
CREATE TABLE nodes (
    id INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 65535),
    name TEXT NOT NULL,
    object TEXT NOT NULL,
    record BLOB NOT NULL,
    signature BLOB NOT NULL,
    certificate_not_after INTEGER NOT NULL,
    removed_at INTEGER
) STRICT;
CREATE UNIQUE INDEX nodes_by_name ON nodes (name) WHERE removed_at IS NULL;

CREATE TABLE tokens (
    digest TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    relay INTEGER NOT NULL,
    prefixes TEXT NOT NULL,
    price_per_gb REAL NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER
) STRICT;

-- `body` is the signed JSON.
CREATE TABLE revocations (
    epoch INTEGER PRIMARY KEY,
    node INTEGER NOT NULL,
    at INTEGER NOT NULL,
    body BLOB NOT NULL,
    signature BLOB NOT NULL
) STRICT;

-- What is in force, so that a restarted controller begins with what its agents hold.
CREATE TABLE routes (
    source INTEGER NOT NULL,
    destination INTEGER NOT NULL,
    class INTEGER NOT NULL,
    route BLOB NOT NULL,
    PRIMARY KEY (source, destination, class)
) STRICT, WITHOUT ROWID;

-- Each change of paths, with the figures it was decided with; also what nodes did by themselves (`route` is NULL then).
CREATE TABLE route_history (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    source INTEGER NOT NULL,
    destination INTEGER NOT NULL,
    class INTEGER NOT NULL,
    decider TEXT NOT NULL,
    before TEXT,
    after TEXT,
    reason TEXT NOT NULL,
    route BLOB
) STRICT;
CREATE INDEX route_history_by_route ON route_history (source, destination, class, at);
CREATE INDEX route_history_by_time ON route_history (at);

-- All links at one moment, compressed: rows per link would be a hundred times the size.
CREATE TABLE link_frames (
    at REAL PRIMARY KEY,
    frame BLOB NOT NULL
) STRICT;
