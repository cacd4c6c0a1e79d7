-- Records of decisions, most of which are differences to the whole one of `base`; older ones cannot be read any more.
DROP TABLE decisions;
CREATE TABLE decisions (
    at REAL PRIMARY KEY,
    base REAL NOT NULL,
    size INTEGER NOT NULL,
    inputs BLOB NOT NULL
) STRICT;
