-- Script libraries, versioned as scripts are; a job keeps which versions ran with it. Executions: the
-- jobs that one press of Run made, knowing each other.

CREATE TABLE libraries (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    version     int NOT NULL DEFAULT 1,     -- the newest
    archived_at timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE library_versions (
    library_id bigint NOT NULL REFERENCES libraries,
    version    int NOT NULL,
    definition jsonb NOT NULL,              -- the frozen shape of a library file, without name
    created_by bigint REFERENCES users,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (library_id, version)
);
CREATE TABLE executions (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    script_id       bigint NOT NULL,
    script_version  int NOT NULL,
    parameters      jsonb NOT NULL,         -- as bound; a secret one as a marker
    rerun_of        bigint REFERENCES executions,
    created_by      bigint REFERENCES users,
    created_by_name text NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (script_id, script_version) REFERENCES script_versions (script_id, version)
);
ALTER TABLE jobs ADD COLUMN libraries jsonb NOT NULL DEFAULT '[]';  -- [{"id", "name", "version"}], in link order
ALTER TABLE jobs ADD COLUMN execution_id bigint REFERENCES executions;
CREATE INDEX jobs_of_an_execution ON jobs (execution_id, id) WHERE execution_id IS NOT NULL;
ALTER TABLE instances ADD COLUMN pinned_libraries jsonb NOT NULL DEFAULT '{}';  -- {"<name>": {"id", "version"}}
