-- The backbone: people, hosts, scripts, workflows, instances, jobs, approvals, audit, outbox.
-- Status columns are guarded by `lifecycle_moves`, filled by the migration from
-- definitions/lifecycles: a move that is not listed there fails here too.

CREATE TABLE lifecycle_moves (
    lifecycle  text NOT NULL,
    from_state text NOT NULL,
    to_state   text NOT NULL,
    PRIMARY KEY (lifecycle, from_state, to_state)
);

CREATE FUNCTION guard_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status IS DISTINCT FROM OLD.status AND NOT EXISTS (
        SELECT 1 FROM lifecycle_moves
        WHERE lifecycle = TG_ARGV[0] AND from_state = OLD.status AND to_state = NEW.status
    ) THEN
        RAISE EXCEPTION 'illegal move of % %: % -> %', TG_ARGV[0], OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

-- People -------------------------------------------------------------------------------------
CREATE TABLE users (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text NOT NULL UNIQUE CHECK (name = lower(name)),
    email         text UNIQUE,
    password_hash text,
    disabled_at   timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE roles (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE CHECK (name = lower(name)),
    permissions text[] NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE user_roles (
    user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    role_id bigint NOT NULL REFERENCES roles ON DELETE CASCADE,
    PRIMARY KEY (user_id, role_id)
);
CREATE TABLE sessions (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    token_sha256 bytea NOT NULL UNIQUE,
    csrf_token   text NOT NULL,
    user_id      bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL
);
CREATE TABLE tokens (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL,
    token_sha256 bytea NOT NULL UNIQUE,
    user_id      bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);
CREATE TABLE sign_in_failures (
    name text NOT NULL,
    at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON sign_in_failures (name, at);
CREATE TABLE idempotency_keys (
    user_id    bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    key        text NOT NULL,
    route      text NOT NULL,
    body_sha256 bytea NOT NULL,
    response   jsonb,
    status     int,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, key)
);

-- Hosts and agents ---------------------------------------------------------------------------
CREATE TABLE org_secrets (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name          text NOT NULL,
    secret_sha256 bytea NOT NULL UNIQUE,
    max_uses      int NOT NULL CHECK (max_uses > 0),
    uses          int NOT NULL DEFAULT 0 CHECK (uses <= max_uses),
    created_by    bigint REFERENCES users,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL,
    revoked_at    timestamptz
);
CREATE TABLE hosts (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name              text NOT NULL UNIQUE CHECK (name = lower(name)),
    os                text NOT NULL,
    arch              text NOT NULL DEFAULT '',
    facts             jsonb NOT NULL DEFAULT '{}',
    tags              text[] NOT NULL DEFAULT '{}',
    groups            text[] NOT NULL DEFAULT '{}',
    reenrol_until     timestamptz,      -- an operator's yes to enrolling this name again
    decommissioned_at timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE agents (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    host_id         bigint NOT NULL REFERENCES hosts,
    token_sha256    bytea NOT NULL UNIQUE,
    public_key      bytea NOT NULL CHECK (length(public_key) = 32),
    version         text NOT NULL,
    boot_id         text,
    previous_boot_id text,                     -- a late poll of the process before is refused
    last_seen_at    timestamptz,
    enrolled_at     timestamptz NOT NULL DEFAULT now(),
    revoked_at      timestamptz
);
CREATE UNIQUE INDEX one_agent_a_host ON agents (host_id) WHERE revoked_at IS NULL;

-- Scripts ------------------------------------------------------------------------------------
CREATE TABLE scripts (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    version     int NOT NULL DEFAULT 1,     -- the newest
    archived_at timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE script_versions (
    script_id  bigint NOT NULL REFERENCES scripts,
    version    int NOT NULL,
    definition jsonb NOT NULL,               -- the frozen shape of a script file, without name
    created_by bigint REFERENCES users,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (script_id, version)
);

-- Workflows ----------------------------------------------------------------------------------
CREATE TABLE workflows (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name              text NOT NULL UNIQUE,
    draft             json NOT NULL,            -- as written, problems and all
    revision          int NOT NULL DEFAULT 1,   -- of the draft; the ETag
    published_version int,
    deployment_id     uuid,                     -- in Prefect
    deployed_version  int,
    archived_at       timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE workflow_versions (
    workflow_id  bigint NOT NULL REFERENCES workflows,
    version      int NOT NULL,
    definition   json NOT NULL,                 -- canonical, scripts by id
    published_by bigint REFERENCES users,
    published_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workflow_id, version)
);

-- The engine's processes ----------------------------------------------------------------------
CREATE TABLE workers (
    id           uuid PRIMARY KEY,
    name         text NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT now(),
    heartbeat_at timestamptz NOT NULL DEFAULT now(),
    stopped_at   timestamptz
);

-- Instances ----------------------------------------------------------------------------------
CREATE TABLE instances (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workflow_id      bigint NOT NULL,
    workflow_version int NOT NULL,
    status           text NOT NULL DEFAULT 'queued'
                     CHECK (status IN ('queued', 'running', 'paused', 'completed', 'failed', 'cancelled')),
    inputs           jsonb NOT NULL DEFAULT '{}',
    host_ids         bigint[] NOT NULL,
    pinned_scripts   jsonb NOT NULL DEFAULT '{}',  -- {"<script id>": version}
    started_by       bigint REFERENCES users,
    started_by_name  text NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    started_at       timestamptz,
    ended_at         timestamptz,
    reason           text NOT NULL DEFAULT '',      -- why it ended as it did, or what it waits for
    cancel_requested_at timestamptz,
    cancel_reason    text,
    -- what the engine holds
    frontier         jsonb NOT NULL DEFAULT '[]',   -- [{"step": id, "visit": n}]
    epoch            bigint NOT NULL DEFAULT 0,     -- rises with every lease: the fence
    lease_holder     uuid REFERENCES workers,
    wake_seq         bigint NOT NULL DEFAULT 0,     -- rises with every fact the instance may wait for
    parked_seq       bigint,                        -- wake_seq when it parked; null: not parked
    park_n           int NOT NULL DEFAULT 0,        -- parks so far: the key `park-<n>`
    park_kind        text CHECK (park_kind IN ('gate', 'delay', 'jobs')),
    wake_at          timestamptz,                   -- a parked instance's deadline
    -- what Prefect has of it
    flow_run_id      uuid UNIQUE,
    flow_run_n       int NOT NULL DEFAULT 0,        -- flow runs created so far: the idempotency key
    nudged_at        timestamptz,                   -- when the keeper last brought Prefect along
    nudges           int NOT NULL DEFAULT 0,        -- how often, since a worker last took the lease
    run_closed       boolean NOT NULL DEFAULT false,-- Prefect's run has ended as the instance did
    FOREIGN KEY (workflow_id, workflow_version) REFERENCES workflow_versions (workflow_id, version)
);
CREATE INDEX instances_unfinished ON instances (id) WHERE ended_at IS NULL;
CREATE INDEX instances_unclosed ON instances (ended_at) WHERE ended_at IS NOT NULL AND NOT run_closed;
CREATE INDEX instances_wake_at ON instances (wake_at) WHERE ended_at IS NULL AND wake_at IS NOT NULL;
CREATE INDEX instances_ready ON instances (id)
    WHERE ended_at IS NULL AND (parked_seq IS NULL OR wake_seq > parked_seq);
CREATE INDEX instances_leased ON instances (lease_holder) WHERE lease_holder IS NOT NULL;
CREATE INDEX instances_by_workflow ON instances (workflow_id, id);
CREATE TRIGGER guard BEFORE UPDATE OF status ON instances
    FOR EACH ROW EXECUTE FUNCTION guard_move('instance');

CREATE TABLE step_results (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    instance_id bigint NOT NULL REFERENCES instances,
    step_id     text NOT NULL,
    visit       int NOT NULL,
    kind        text NOT NULL,
    name        text NOT NULL,
    status      text NOT NULL CHECK (status IN ('waiting', 'running', 'completed', 'failed', 'skipped', 'cancelled')),
    input       json NOT NULL DEFAULT '{}',   -- the step's templates resolved, as sent
    facts       json,                          -- what later steps may refer to
    outcome     text,                          -- success, failure, true, false
    reason      text NOT NULL DEFAULT '',      -- why it ended so, and why the next step was taken
    routed_to   text,
    wake_at     timestamptz,                   -- with delay: when it is over
    task_run_id uuid,                          -- of the last segment, for the edges of Prefect's graph
    started_at  timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz,
    UNIQUE (instance_id, step_id, visit)
);

-- Jobs ---------------------------------------------------------------------------------------
CREATE TABLE jobs (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    type            text NOT NULL,
    status          text NOT NULL DEFAULT 'queued'
                    CHECK (status IN ('queued', 'pending', 'running', 'completed', 'failed', 'timeout', 'cancelled')),
    priority        smallint NOT NULL CHECK (priority BETWEEN 0 AND 3),   -- 0 critical, 1 high, 2 normal, 3 low
    host_id         bigint NOT NULL REFERENCES hosts,
    payload         jsonb NOT NULL,            -- agent.payloads.JobPayload, ready to send
    timeout_seconds int NOT NULL,
    scheduled_at    timestamptz NOT NULL DEFAULT now(),
    created_at      timestamptz NOT NULL DEFAULT now(),
    created_by      bigint REFERENCES users,
    created_by_name text NOT NULL,
    script_id       bigint,
    script_version  int,
    instance_id     bigint REFERENCES instances,
    step_id         text,
    visit           int,
    -- the attempt now
    attempt         int NOT NULL DEFAULT 1,
    agent_id        bigint REFERENCES agents,
    request_id      text,                      -- of the poll that claimed it: a repeat gets it again
    claimed_at      timestamptz,
    started_at      timestamptz,
    ended_at        timestamptz,
    cancel_requested_at timestamptz,
    cancel_told_at  timestamptz,               -- when the agent was last told
    outcome         text,
    exit_code       int,
    reason          text NOT NULL DEFAULT '',
    stdout_length   bigint NOT NULL DEFAULT 0,
    stderr_length   bigint NOT NULL DEFAULT 0,
    stdout_truncated boolean NOT NULL DEFAULT false,
    stderr_truncated boolean NOT NULL DEFAULT false,
    FOREIGN KEY (script_id, script_version) REFERENCES script_versions (script_id, version)
);
CREATE UNIQUE INDEX jobs_of_a_step ON jobs (instance_id, step_id, visit, host_id) WHERE instance_id IS NOT NULL;
CREATE INDEX jobs_to_claim ON jobs (host_id, priority, scheduled_at, id) WHERE status = 'queued';
CREATE INDEX jobs_held ON jobs (agent_id, id) WHERE status IN ('pending', 'running');
CREATE INDEX jobs_queued_since ON jobs (scheduled_at) WHERE status = 'queued';
CREATE INDEX jobs_running_since ON jobs (started_at) WHERE status = 'running';
CREATE INDEX jobs_by_host ON jobs (host_id, id);
CREATE INDEX jobs_by_script ON jobs (script_id, id) WHERE script_id IS NOT NULL;
CREATE TRIGGER guard BEFORE UPDATE OF status ON jobs
    FOR EACH ROW EXECUTE FUNCTION guard_move('job');

CREATE TABLE job_attempts (                    -- attempts that have ended
    job_id     bigint NOT NULL REFERENCES jobs ON DELETE CASCADE,
    attempt    int NOT NULL,
    agent_id   bigint,
    status     text NOT NULL,
    outcome    text,
    exit_code  int,
    reason     text NOT NULL DEFAULT '',
    claimed_at timestamptz,
    started_at timestamptz,
    ended_at   timestamptz NOT NULL,
    report_sha256 bytea,                       -- of the `completed` report: an identical repeat is accepted
    PRIMARY KEY (job_id, attempt)
);
CREATE TABLE job_output (
    job_id      bigint NOT NULL REFERENCES jobs ON DELETE CASCADE,
    attempt     int NOT NULL,
    stream      text NOT NULL CHECK (stream IN ('stdout', 'stderr')),
    seq         int NOT NULL,
    byte_offset bigint NOT NULL,
    data        bytea NOT NULL,
    at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, attempt, stream, seq)
);
CREATE TABLE refused_reports (                 -- kept for the audit: a 409 to an agent
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT now(),
    job_id   bigint NOT NULL,
    attempt  int NOT NULL,
    agent_id bigint,
    report   jsonb NOT NULL,
    reason   text NOT NULL
);

-- Approvals ----------------------------------------------------------------------------------
CREATE TABLE approval_requests (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind          text NOT NULL DEFAULT 'approval' CHECK (kind IN ('approval', 'pam')),
    status        text NOT NULL DEFAULT 'pending'
                  CHECK (status IN ('pending', 'approved', 'rejected', 'expired', 'withdrawn')),
    instance_id   bigint REFERENCES instances,
    step_id       text,
    visit         int,
    title         text NOT NULL,
    description   text NOT NULL DEFAULT '',
    approval_type text NOT NULL,
    quorum        int NOT NULL CHECK (quorum > 0),
    eligible      bigint[] NOT NULL CHECK (cardinality(eligible) > 0),   -- user ids, frozen
    frozen        json NOT NULL,               -- what the person says yes to, as it was digested
    digest        text NOT NULL,               -- SHA-256 of `frozen`, hex
    created_at    timestamptz NOT NULL DEFAULT now(),
    deadline      timestamptz,
    decided_at    timestamptz,
    decision_reason text NOT NULL DEFAULT '',
    UNIQUE (instance_id, step_id, visit)
);
CREATE INDEX approvals_open ON approval_requests (deadline) WHERE status = 'pending';
CREATE TRIGGER guard BEFORE UPDATE OF status ON approval_requests
    FOR EACH ROW EXECUTE FUNCTION guard_move('approval');
CREATE TABLE votes (
    request_id bigint NOT NULL REFERENCES approval_requests,
    user_id    bigint NOT NULL REFERENCES users,
    decision   text NOT NULL CHECK (decision IN ('approve', 'reject')),
    comment    text NOT NULL DEFAULT '',
    via        text NOT NULL DEFAULT 'api',
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (request_id, user_id)
);

-- Audit and outbox ---------------------------------------------------------------------------
CREATE TABLE audit (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at           timestamptz NOT NULL DEFAULT now(),
    actor_kind   text NOT NULL,
    actor_id     bigint,
    actor_name   text NOT NULL,
    action       text NOT NULL,
    subject_kind text NOT NULL,
    subject_id   bigint,
    detail       jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_by_subject ON audit (subject_kind, subject_id, id);
CREATE TABLE outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       text NOT NULL,
    payload    jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    not_before timestamptz NOT NULL DEFAULT now(),
    attempts   int NOT NULL DEFAULT 0,
    last_error text,
    done_at    timestamptz
);
CREATE INDEX outbox_due ON outbox (id) WHERE done_at IS NULL;
