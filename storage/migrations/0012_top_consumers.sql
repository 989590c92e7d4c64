-- Who used most of this host while one of its metrics stood out: names of processes and figures.

CREATE TABLE IF NOT EXISTS top_consumers (
    series VARCHAR NOT NULL,
    seen_at TIMESTAMPTZ NOT NULL,
    recorded_at TIMESTAMPTZ NOT NULL,
    body VARCHAR NOT NULL,
    PRIMARY KEY (series, seen_at)
);
