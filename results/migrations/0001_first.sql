-- The index over runs/. Times are ISO 8601 text, columns named *_json hold the records as JSON.

CREATE TABLE systems (
    system_sha256 VARCHAR PRIMARY KEY,   -- over the whole record, so that a changed driver is another row
    system_json   VARCHAR NOT NULL
);

CREATE TABLE runs (
    run_id          VARCHAR PRIMARY KEY,
    created_utc     VARCHAR NOT NULL,
    benchmark       VARCHAR NOT NULL,
    tier            VARCHAR NOT NULL,
    division        VARCHAR NOT NULL,
    backend         VARCHAR NOT NULL,
    kind            VARCHAR NOT NULL,
    seed            BIGINT NOT NULL,
    seed_index      BIGINT,
    seeds_chosen    BOOLEAN NOT NULL,
    workload_id     VARCHAR NOT NULL,
    system_id       VARCHAR NOT NULL,
    software_id     VARCHAR NOT NULL,
    set_id          VARCHAR NOT NULL,
    session_id      VARCHAR NOT NULL,
    sealed          BOOLEAN NOT NULL,
    bundle_id       VARCHAR,
    elapsed_s       DOUBLE,              -- from the supervisor's start to the end of the last phase
    judgement_id    BIGINT NOT NULL,     -- the newest one
    system_sha256   VARCHAR,
    spec_json       VARCHAR NOT NULL,
    digest_json     VARCHAR NOT NULL
);

-- Append-only: a run judged again with another result gets another row.
CREATE TABLE judgements (
    judgement_id     BIGINT NOT NULL,
    run_id           VARCHAR NOT NULL,
    judge_version    VARCHAR NOT NULL,
    tables_sha256    VARCHAR NOT NULL,
    judged_utc       VARCHAR NOT NULL,
    outcome          VARCHAR NOT NULL,
    reason           VARCHAR,
    judgement_json   VARCHAR NOT NULL
);

CREATE TABLE metrics (
    judgement_id    BIGINT NOT NULL,
    run_id          VARCHAR NOT NULL,
    name            VARCHAR NOT NULL,
    dims_json       VARCHAR NOT NULL,    -- '{}' is the headline
    value           DOUBLE,
    unit            VARCHAR NOT NULL,
    status          VARCHAR NOT NULL,
    reason          VARCHAR,             -- why there is no value
    formula         VARCHAR NOT NULL,
    scope           VARCHAR NOT NULL,
    uncertainty     DOUBLE,
    sample_count    BIGINT,
    window_start_ns BIGINT,
    window_stop_ns  BIGINT
);

CREATE TABLE findings (
    judgement_id    BIGINT NOT NULL,
    run_id          VARCHAR NOT NULL,
    rule            VARCHAR NOT NULL,
    severity        VARCHAR NOT NULL,
    message         VARCHAR NOT NULL,
    evidence_json   VARCHAR NOT NULL,
    fix             VARCHAR NOT NULL
);

-- Folders under runs/ of which nobody can say which run they were.
CREATE TABLE unreadable (
    folder  VARCHAR PRIMARY KEY,
    message VARCHAR NOT NULL
);

-- What people ask for: every run under its newest judgement, and its headline metrics.
CREATE VIEW results AS
SELECT r.* EXCLUDE (spec_json, digest_json), j.outcome, j.reason, j.judge_version, j.tables_sha256, j.judged_utc
FROM runs r JOIN judgements j USING (judgement_id);

CREATE VIEW headlines AS
SELECT m.* EXCLUDE (dims_json) FROM metrics m JOIN runs r USING (judgement_id) WHERE m.dims_json = '{}';
