-- The filters of the list of jobs: made since, made by.

CREATE INDEX jobs_by_time ON jobs (created_at);
CREATE INDEX jobs_by_maker ON jobs (created_by_name, id);
