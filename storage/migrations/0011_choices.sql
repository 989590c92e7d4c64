-- Choices in which chance had a say, the first of each measurement window: what effects that come late are learned from.

CREATE TABLE IF NOT EXISTS choices (
    choice_id VARCHAR PRIMARY KEY,
    goal_type VARCHAR NOT NULL,
    chosen_at TIMESTAMPTZ NOT NULL,
    recorded_at TIMESTAMPTZ NOT NULL,
    body VARCHAR NOT NULL
);
