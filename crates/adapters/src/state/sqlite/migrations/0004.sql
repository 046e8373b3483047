-- Campaigns, those that have not ended and the latest that have.
CREATE TABLE campaigns (
    id INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    live INTEGER NOT NULL,
    body TEXT NOT NULL,
    mac BLOB NOT NULL
) STRICT;

-- All that is read where only what has not ended counts.
CREATE INDEX campaigns_live ON campaigns (id) WHERE live = 1;
