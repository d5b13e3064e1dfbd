-- Jobs that are not over and run by a checkout: looked through every second for those whose checkout is.

CREATE INDEX jobs_open_by_a_checkout ON jobs (checkout_id)
    WHERE checkout_id IS NOT NULL AND status IN ('queued', 'pending', 'running');
