-- Secret values at rest: sealed with the server's key, opened only when the agent claims the job.

ALTER TABLE jobs ADD COLUMN sealed_values bytea;
