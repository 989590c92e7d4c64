-- What a coordinator granted of scarce things that several agents share: a row for each answer, the newest of a holder
-- in force. Two answers with one token cannot both be written.

CREATE TABLE IF NOT EXISTS shared_leases (
    budget VARCHAR NOT NULL,
    token BIGINT NOT NULL,
    holder VARCHAR NOT NULL,
    recorded_at TIMESTAMPTZ NOT NULL,
    body VARCHAR NOT NULL,
    PRIMARY KEY (budget, token)
);
