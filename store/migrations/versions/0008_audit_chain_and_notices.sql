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
