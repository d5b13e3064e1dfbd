-- The audit chain: rows are written unchained, each in the transaction of its change, and put into their
-- places by one writer afterwards (store.audit_chain). What is to be chained stands in a table of its own:
-- transactions commit in another order than they take numbers, so no mark of "so far" would do.

CREATE TABLE audit_unchained (
    audit_id bigint PRIMARY KEY REFERENCES audit
);
CREATE TABLE audit_chain (
    seq      bigint PRIMARY KEY CHECK (seq > 0),
    audit_id bigint NOT NULL UNIQUE REFERENCES audit,
    previous bytea NOT NULL CHECK (length(previous) = 32),
    hash     bytea NOT NULL CHECK (length(hash) = 32)
);
CREATE TABLE audit_checkpoints (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    seq       bigint NOT NULL,
    hash      bytea NOT NULL CHECK (length(hash) = 32),
    at        timestamptz NOT NULL,
    key       text NOT NULL,
    signature bytea NOT NULL
);

INSERT INTO audit_unchained SELECT id FROM audit;

CREATE FUNCTION audit_to_chain() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit_unchained VALUES (NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER to_chain AFTER INSERT ON audit FOR EACH ROW EXECUTE FUNCTION audit_to_chain();

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed or deleted', TG_TABLE_NAME
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER never BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER never BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_chain
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER never BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_checkpoints
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Notices: who wants to be told where, and what was sent. An event itself is an errand of the outbox.

CREATE TABLE notice_channels (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id    bigint REFERENCES users ON DELETE CASCADE,
    role_id    bigint REFERENCES roles ON DELETE CASCADE,
    name       text NOT NULL,
    shown      text NOT NULL,                  -- of the address, without what is secret in it
    sealed_url bytea,                          -- null only until its transaction ends: sealed for this row
    mark       bytea NOT NULL,                 -- keyed digest of the address: the same one is told once
    events     text[] NOT NULL CHECK (cardinality(events) > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (num_nonnulls(user_id, role_id) = 1)
);
CREATE UNIQUE INDEX notice_channels_of_user ON notice_channels (user_id, name) WHERE user_id IS NOT NULL;
CREATE UNIQUE INDEX notice_channels_of_role ON notice_channels (role_id, name) WHERE role_id IS NOT NULL;

CREATE TABLE notice_deliveries (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel_id bigint NOT NULL REFERENCES notice_channels ON DELETE CASCADE,
    event      text NOT NULL,                  -- kind, subject and errand: one happening
    mark       bytea NOT NULL,                 -- of the channel's address
    title      text NOT NULL,
    body       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    not_before timestamptz NOT NULL DEFAULT now(),
    attempts   int NOT NULL DEFAULT 0,
    last_error text,
    sent_at    timestamptz,
    dead_at    timestamptz,
    UNIQUE (event, mark)
);
CREATE INDEX notice_deliveries_due ON notice_deliveries (not_before) WHERE sent_at IS NULL AND dead_at IS NULL;
CREATE INDEX notice_deliveries_dead ON notice_deliveries (id) WHERE dead_at IS NOT NULL;
CREATE INDEX notice_deliveries_of_channel ON notice_deliveries (channel_id, id);

ALTER TABLE approval_requests ADD COLUMN asked_roles bigint[] NOT NULL DEFAULT '{}';  -- as the step names them
