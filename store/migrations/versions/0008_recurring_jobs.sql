-- Recurring jobs: the template, and a row for every tick of it. A tick is answered once: its row is unique,
-- and it is written with the children it leads to, under the template's lock.

CREATE TABLE recurring_jobs (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name           text NOT NULL UNIQUE,
    definition     jsonb NOT NULL,           -- as in a file, without kind, name and enabled
    owner_id       bigint NOT NULL REFERENCES users,  -- who saved it last: its ticks need their rights
    owner_name     text NOT NULL,
    enabled        boolean NOT NULL,
    disabled_by    text,                     -- a person, or Prefect
    recurrences    bigint NOT NULL DEFAULT 0,  -- ticks of the expression that ran
    answered_until timestamptz NOT NULL DEFAULT now(),  -- every tick up to here has its row
    next_run_at    timestamptz,              -- null: it does not fire
    stopped        text,                     -- why it fires no more
    archived_at    timestamptz,
    created_at     timestamptz NOT NULL DEFAULT now(),
    -- what Prefect has of it
    wanted_seq     bigint NOT NULL DEFAULT 1,  -- rises with everything that Prefect has to know
    deployed_seq   bigint NOT NULL DEFAULT 0,
    deployment_id  uuid
);
CREATE INDEX recurring_jobs_due ON recurring_jobs (next_run_at) WHERE next_run_at IS NOT NULL;
CREATE INDEX recurring_jobs_to_deploy ON recurring_jobs (id) WHERE wanted_seq > deployed_seq;

CREATE TABLE ticks (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recurring_job_id bigint NOT NULL REFERENCES recurring_jobs,
    at               timestamptz NOT NULL,
    kind             text NOT NULL CHECK (kind IN ('cron', 'manual')),
    outcome          text NOT NULL CHECK (outcome IN ('ran', 'skipped', 'stopped')),
    reason           text NOT NULL,
    fired_by_name    text,                   -- of a manual one
    flow_run_id      uuid UNIQUE,            -- of a manual one that was started in Prefect
    answered_at      timestamptz NOT NULL DEFAULT now(),
    UNIQUE (recurring_job_id, at)
);
CREATE INDEX ticks_of_a_template ON ticks (recurring_job_id, id);

ALTER TABLE jobs ADD COLUMN recurring_job_id bigint REFERENCES recurring_jobs;
ALTER TABLE jobs ADD COLUMN tick_id bigint REFERENCES ticks;
CREATE INDEX jobs_of_a_template ON jobs (recurring_job_id, id) WHERE recurring_job_id IS NOT NULL;
CREATE INDEX jobs_open_of_a_template ON jobs (recurring_job_id)
    WHERE recurring_job_id IS NOT NULL AND status IN ('queued', 'pending', 'running');
ALTER TABLE instances ADD COLUMN recurring_job_id bigint REFERENCES recurring_jobs;
ALTER TABLE instances ADD COLUMN tick_id bigint REFERENCES ticks;
CREATE INDEX instances_of_a_template ON instances (recurring_job_id, id) WHERE recurring_job_id IS NOT NULL;
