-- `resumes`: who had the instance go on, when, where, and how it had ended before, the first one first.
-- `rerun_of`: the instance that this one repeats.
-- `outputs`: what the workflow gives back, once it has completed.

ALTER TABLE instances ADD COLUMN resumes jsonb NOT NULL DEFAULT '[]';
ALTER TABLE instances ADD COLUMN rerun_of bigint REFERENCES instances;
ALTER TABLE instances ADD COLUMN outputs json;
