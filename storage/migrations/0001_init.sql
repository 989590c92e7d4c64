-- Every table is append-only where its history matters: a goal's state is its last transition.
-- `body` holds the whole record as JSON; the columns beside it are the ones that queries filter on.

CREATE TABLE series (series_id BIGINT PRIMARY KEY, series VARCHAR, metric VARCHAR, labels JSON, unit VARCHAR, recorded_at TIMESTAMPTZ);
CREATE TABLE samples (series_id BIGINT, ts TIMESTAMPTZ, value DOUBLE, recorded_at TIMESTAMPTZ);
CREATE TABLE events (event_id VARCHAR PRIMARY KEY, event_type VARCHAR, ts TIMESTAMPTZ, labels JSON, metadata JSON, recorded_at TIMESTAMPTZ);

CREATE TABLE cycles (cycle_id VARCHAR PRIMARY KEY, recorded_at TIMESTAMPTZ, agent VARCHAR, tick TIMESTAMPTZ, kind VARCHAR, body JSON);
CREATE TABLE cycle_stages (cycle_id VARCHAR, stage VARCHAR, recorded_at TIMESTAMPTZ, duration_s DOUBLE, summary JSON);

CREATE TABLE patterns (pattern_id VARCHAR, cycle_id VARCHAR, recorded_at TIMESTAMPTZ, kind VARCHAR, subject VARCHAR, body JSON, PRIMARY KEY (pattern_id, cycle_id));

CREATE TABLE forecasts (cycle_id VARCHAR, recorded_at TIMESTAMPTZ, series VARCHAR, issued_at TIMESTAMPTZ, step_s DOUBLE, levels FLOAT[], point FLOAT[], quantiles FLOAT[], method VARCHAR, warnings VARCHAR[], refusal VARCHAR);
CREATE TABLE breaches (cycle_id VARCHAR, recorded_at TIMESTAMPTZ, objective VARCHAR, series VARCHAR, body JSON, PRIMARY KEY (cycle_id, objective, series));
CREATE TABLE states (cycle_id VARCHAR PRIMARY KEY, recorded_at TIMESTAMPTZ, body JSON);
CREATE TABLE errors (cycle_id VARCHAR, recorded_at TIMESTAMPTZ, series VARCHAR, issued_at TIMESTAMPTZ, step_s DOUBLE, errors FLOAT[], covered_ratio DOUBLE, overlapped BOOLEAN);
CREATE TABLE breach_results (cycle_id VARCHAR, recorded_at TIMESTAMPTZ, objective VARCHAR, series VARCHAR, probability DOUBLE, raw_probability DOUBLE, happened BOOLEAN, PRIMARY KEY (cycle_id, objective, series));

CREATE TABLE goals (goal_id VARCHAR PRIMARY KEY, cycle_id VARCHAR, recorded_at TIMESTAMPTZ, goal_type VARCHAR, cause VARCHAR, body JSON);
CREATE TABLE goal_transitions (seq BIGINT, goal_id VARCHAR, moved_at TIMESTAMPTZ, state VARCHAR, progress DOUBLE, reason VARCHAR, cycle_id VARCHAR, recorded_at TIMESTAMPTZ, PRIMARY KEY (goal_id, moved_at, state));

CREATE TABLE decisions (decision_id VARCHAR PRIMARY KEY, cycle_id VARCHAR, recorded_at TIMESTAMPTZ, goal_id VARCHAR, body JSON);
CREATE TABLE plans (plan_id VARCHAR PRIMARY KEY, cycle_id VARCHAR, recorded_at TIMESTAMPTZ, goal_id VARCHAR, body JSON);

CREATE TABLE actions (action_id VARCHAR PRIMARY KEY, cycle_id VARCHAR, recorded_at TIMESTAMPTZ, name VARCHAR, goal_id VARCHAR, target VARCHAR, due_at TIMESTAMPTZ, expires_at TIMESTAMPTZ, undo_of VARCHAR, body JSON);
CREATE TABLE approvals (action_id VARCHAR PRIMARY KEY, recorded_at TIMESTAMPTZ, body JSON);
CREATE TABLE intents (action_id VARCHAR, attempt INTEGER, recorded_at TIMESTAMPTZ, promised_at TIMESTAMPTZ, body JSON, PRIMARY KEY (action_id, attempt));
CREATE TABLE receipts (action_id VARCHAR PRIMARY KEY, recorded_at TIMESTAMPTZ, status VARCHAR, finished_at TIMESTAMPTZ, body JSON);

CREATE TABLE outcomes (outcome_id VARCHAR PRIMARY KEY, cycle_id VARCHAR, recorded_at TIMESTAMPTZ, action_id VARCHAR, action VARCHAR, goal_type VARCHAR, role VARCHAR, verdict VARCHAR, measured_at TIMESTAMPTZ, body JSON);
CREATE TABLE beliefs (belief_id VARCHAR PRIMARY KEY, cycle_id VARCHAR, recorded_at TIMESTAMPTZ, outcome_count INTEGER, body JSON);

-- Switches and small learned values, by name: the last row of a name is in force.
CREATE TABLE facts (seq BIGINT, name VARCHAR, recorded_at TIMESTAMPTZ, actor VARCHAR, value JSON);
CREATE TABLE audit (seq BIGINT PRIMARY KEY, written_at TIMESTAMPTZ, actor VARCHAR, verb VARCHAR, subject VARCHAR, detail VARCHAR, previous_hash VARCHAR, entry_hash VARCHAR);

-- For people with a SQL prompt.
CREATE VIEW sample_values AS SELECT s.series, s.metric, s.unit, v.ts, v.value, v.recorded_at FROM samples v JOIN series s USING (series_id);
CREATE VIEW goal_states AS SELECT goal_id, arg_max(state, seq) AS state, arg_max(progress, seq) AS progress, arg_max(reason, seq) AS reason, arg_max(moved_at, seq) AS since FROM goal_transitions GROUP BY goal_id;
