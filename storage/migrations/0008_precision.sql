-- Forecasts and errors keep their precision at any level: a value is centre + stretch × what its array holds, the
-- array in single precision. So a series around 1.7e9 keeps its band, and one around 1e60 is no infinity. Rows from
-- before hold the values themselves.

ALTER TABLE forecasts ADD COLUMN IF NOT EXISTS centre DOUBLE DEFAULT 0;
ALTER TABLE forecasts ADD COLUMN IF NOT EXISTS stretch DOUBLE DEFAULT 1;
ALTER TABLE errors ADD COLUMN IF NOT EXISTS stretch DOUBLE DEFAULT 1;
