-- Secret values at rest: sealed with the server's key, opened only when the agent claims the job.
-- `store.sealed_values` says when they are erased.

ALTER TABLE jobs ADD COLUMN sealed_values bytea;        -- by the variable of the script
ALTER TABLE instances ADD COLUMN sealed_inputs bytea;   -- by input; `inputs` has a mark in their place
CREATE INDEX jobs_with_secrets ON jobs (ended_at) WHERE sealed_values IS NOT NULL;
