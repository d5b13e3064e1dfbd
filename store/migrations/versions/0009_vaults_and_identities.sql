-- Vaults and identities, versioned as scripts are. Neither holds a secret: a vault says where Opsgate finds
-- what it signs in with, an identity where in the vault its credential is.

CREATE TABLE vaults (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    version     int NOT NULL DEFAULT 1,     -- the newest
    archived_at timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE vault_versions (
    vault_id   bigint NOT NULL REFERENCES vaults,
    version    int NOT NULL,
    definition jsonb NOT NULL,              -- the frozen shape of a vault file, without name
    created_by bigint REFERENCES users,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (vault_id, version)
);
CREATE TABLE identities (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE,
    version     int NOT NULL DEFAULT 1,
    archived_at timestamptz,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE identity_versions (
    identity_id bigint NOT NULL REFERENCES identities,
    version     int NOT NULL,
    definition  jsonb NOT NULL,
    created_by  bigint REFERENCES users,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (identity_id, version)
);

-- A checkout: somebody, in an instance, may run things as an identity until it ends. It says which
-- credential, never holds it.

CREATE TABLE checkouts (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    status           text NOT NULL DEFAULT 'requested'
                     CHECK (status IN ('requested', 'active', 'ended', 'denied', 'failed')),
    identity_id      bigint NOT NULL,
    identity_version int NOT NULL,
    exclusive        boolean NOT NULL,          -- as the identity said
    ready            boolean NOT NULL,          -- waits for its turn alone, not for an approval
    instance_id      bigint NOT NULL REFERENCES instances,
    step_id          text NOT NULL,
    visit            int NOT NULL,
    variable_name    text,
    reason           text NOT NULL DEFAULT '',
    minutes          int NOT NULL CHECK (minutes > 0),
    for_id           bigint REFERENCES users,   -- who started the instance
    created_at       timestamptz NOT NULL DEFAULT now(),
    active_at        timestamptz,
    deadline         timestamptz,
    ended_at         timestamptz,
    end_reason       text NOT NULL DEFAULT '',
    news             boolean NOT NULL DEFAULT false,  -- its instance has not been woken since it changed
    UNIQUE (instance_id, step_id, visit),
    FOREIGN KEY (identity_id, identity_version) REFERENCES identity_versions (identity_id, version),
    CHECK ((active_at IS NULL) = (deadline IS NULL)),
    CHECK ((ended_at IS NOT NULL) = (status IN ('ended', 'denied', 'failed')))
);
CREATE UNIQUE INDEX checkouts_one_at_a_time ON checkouts (identity_id) WHERE status = 'active' AND exclusive;
CREATE INDEX checkouts_with_news ON checkouts (id) WHERE news;
CREATE INDEX checkouts_due ON checkouts (deadline) WHERE status = 'active';
CREATE INDEX checkouts_open ON checkouts (identity_id, id) WHERE status IN ('requested', 'active');
CREATE INDEX checkouts_of_an_instance ON checkouts (instance_id) WHERE status IN ('requested', 'active');
INSERT INTO lifecycle_moves (lifecycle, from_state, to_state) VALUES
    ('checkout', 'requested', 'active'),
    ('checkout', 'requested', 'denied'),
    ('checkout', 'requested', 'failed'),
    ('checkout', 'requested', 'ended'),
    ('checkout', 'active', 'ended');
CREATE TRIGGER guard BEFORE UPDATE OF status ON checkouts
    FOR EACH ROW EXECUTE FUNCTION guard_move('checkout');
