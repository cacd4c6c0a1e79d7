-- What each decision was made from, so that it can be made again and explained.
CREATE TABLE decisions (
    at REAL PRIMARY KEY,
    size INTEGER NOT NULL,
    inputs BLOB NOT NULL
) STRICT;
