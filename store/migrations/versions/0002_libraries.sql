-- Script libraries, versioned as scripts are; a job keeps which versions ran with it.

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
ALTER TABLE jobs ADD COLUMN libraries jsonb NOT NULL DEFAULT '[]';  -- [{"id", "name", "version"}], in link order
