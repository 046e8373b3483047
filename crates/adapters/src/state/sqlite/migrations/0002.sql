-- A group's history, without that of the others.
CREATE INDEX records_by_group ON records (group_name, position);

-- Requests that were carried out, so that a repeat gets the same answer.
CREATE TABLE requests (
    caller TEXT NOT NULL,
    key TEXT NOT NULL,
    digest BLOB NOT NULL,
    at INTEGER NOT NULL,
    answer TEXT NOT NULL,
    mac BLOB NOT NULL,
    PRIMARY KEY (caller, key)
) STRICT, WITHOUT ROWID;

-- All that is read to forget the oldest.
CREATE INDEX requests_by_time ON requests (at);
