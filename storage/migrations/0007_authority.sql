-- A switch and an earned level keep what the configuration said at the time; older rows are taken to agree with it.

UPDATE facts SET value = '{"autonomous": ' || value || ', "configured": true}'
WHERE name = 'mode.autonomous' AND value IN ('true', 'false');

UPDATE facts SET value = '{"level": ' || value || ', "configured": null}'
WHERE starts_with(name, 'level:') AND starts_with(value, '"');
