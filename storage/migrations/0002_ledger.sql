-- What calibrates the next forecasts, what became of predicted states, and what is fitted once and kept.
-- A forecast matures when its last step has passed: by that moment those still to be resolved are found without a
-- look at the rest. `unhealthy` and `critical` of a state are its probabilities before they were recalibrated.

ALTER TABLE forecasts ADD COLUMN matures_at TIMESTAMPTZ;
ALTER TABLE forecasts ADD COLUMN scale DOUBLE;
ALTER TABLE forecasts ADD COLUMN offsets FLOAT[];
ALTER TABLE errors ADD COLUMN matures_at TIMESTAMPTZ;
UPDATE forecasts SET matures_at = issued_at + to_seconds(step_s * len(point));
UPDATE errors SET matures_at = issued_at + to_seconds(step_s * len(errors));

ALTER TABLE states ADD COLUMN matures_at TIMESTAMPTZ;
ALTER TABLE states ADD COLUMN unhealthy DOUBLE;
ALTER TABLE states ADD COLUMN critical DOUBLE;
CREATE TABLE state_results (cycle_id VARCHAR PRIMARY KEY, recorded_at TIMESTAMPTZ, matures_at TIMESTAMPTZ, unhealthy DOUBLE, critical DOUBLE, raw_unhealthy DOUBLE, raw_critical DOUBLE, came VARCHAR);

CREATE TABLE fitted (name VARCHAR, recorded_at TIMESTAMPTZ, fitted_at TIMESTAMPTZ, body VARCHAR);
