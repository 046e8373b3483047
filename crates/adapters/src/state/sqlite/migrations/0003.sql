-- One row: the lease's epoch, the head of the chain, and the sealed sum of all guarded rows.
CREATE TABLE state (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    integrity_key BLOB NOT NULL,
    epoch INTEGER NOT NULL,
    position INTEGER NOT NULL,
    hash BLOB NOT NULL,
    sum BLOB NOT NULL
) STRICT;

-- `last_record` is where a group's history begins, read backwards; 0 if it has none.
CREATE TABLE groups (
    name TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    due_at INTEGER,
    body TEXT NOT NULL,
    mac BLOB NOT NULL,
    last_record INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- All that a tick reads.
CREATE INDEX groups_by_due ON groups (due_at, name) WHERE due_at IS NOT NULL;

-- Apart from the row, which changes with each step.
CREATE TABLE plans (
    group_name TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL,
    mac BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    group_name TEXT NOT NULL PRIMARY KEY,
    wrapped BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE candidates (
    group_name TEXT NOT NULL,
    generation INTEGER NOT NULL,
    candidate INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (group_name, generation, candidate)
) STRICT, WITHOUT ROWID;

-- Records in segments, each under the position of its last.
CREATE TABLE history (
    last INTEGER PRIMARY KEY,
    body BLOB NOT NULL
) STRICT;

-- Where the history of a group begins that has no row, read backwards.
CREATE TABLE rowless (
    group_name TEXT NOT NULL PRIMARY KEY,
    last_record INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE cursors (
    sink TEXT NOT NULL PRIMARY KEY,
    position INTEGER NOT NULL,
    mac BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE rolls (
    group_name TEXT NOT NULL PRIMARY KEY,
    complete INTEGER NOT NULL,
    mac BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE members (
    group_name TEXT NOT NULL,
    role TEXT NOT NULL,
    consumer TEXT NOT NULL,
    declared INTEGER NOT NULL,
    acked_publication INTEGER,
    acked_reach TEXT,
    mac BLOB NOT NULL,
    PRIMARY KEY (group_name, role, consumer)
) STRICT, WITHOUT ROWID;

CREATE TABLE deliveries (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    group_name TEXT NOT NULL,
    consumer TEXT NOT NULL,
    nonce BLOB NOT NULL,
    publication INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    mac BLOB NOT NULL,
    UNIQUE (group_name, consumer, nonce)
) STRICT;

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
