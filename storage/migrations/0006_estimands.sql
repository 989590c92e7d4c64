-- What each act is judged by, written before it: an outcome is read beside the row that fixed it.

CREATE TABLE estimands (action_id VARCHAR PRIMARY KEY, cycle_id VARCHAR, recorded_at TIMESTAMPTZ, series VARCHAR, body JSON);
