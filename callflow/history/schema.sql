-- Written by `python -m callflow.cli.schema_file` from the migrations: do not change it by hand.

CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE conversations (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    stream_sid TEXT NOT NULL,
    phone_number TEXT NOT NULL,
    phone_number_sid TEXT,
    caller_number TEXT,
    started_at TEXT NOT NULL,
    ended_at TEXT,
    duration_seconds INTEGER,
    message_count INTEGER DEFAULT 0,
    created_at TEXT DEFAULT CURRENT_TIMESTAMP, call_id VARCHAR(36), carrier TEXT, carrier_call_id TEXT, carrier_leg_id TEXT, carrier_session_id TEXT, direction TEXT, profile TEXT, state TEXT, hangup_cause TEXT, hangup_source TEXT, interruptions INTEGER, first_word_ms INTEGER, usage TEXT, cost_usd DOUBLE, recording TEXT, answered_at TEXT, answered_seconds DOUBLE, carrier_usd DOUBLE, business TEXT,
    UNIQUE (stream_sid)
);

CREATE TABLE conversation_items (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    conversation_id INTEGER NOT NULL,
    item_id TEXT NOT NULL,
    item_type TEXT NOT NULL,
    role TEXT,
    content TEXT,
    status TEXT,
    timestamp TEXT,
    call_id TEXT,
    function_name TEXT,
    function_params TEXT,
    function_output TEXT,
    created_at TEXT DEFAULT CURRENT_TIMESTAMP, text TEXT, heard_text TEXT, heard_ms INTEGER, of_ms INTEGER, latency TEXT,
    UNIQUE (conversation_id, item_id),
    FOREIGN KEY(conversation_id) REFERENCES conversations (id) ON DELETE CASCADE
);

CREATE INDEX idx_conversations_phone_number ON conversations (phone_number);

CREATE INDEX idx_conversations_started_at ON conversations (started_at DESC);

CREATE INDEX idx_items_conversation_id ON conversation_items (conversation_id);

CREATE UNIQUE INDEX idx_conversations_call_id ON conversations (call_id);

CREATE INDEX idx_conversations_caller_number ON conversations (caller_number);

CREATE TABLE steps (
    id INTEGER NOT NULL,
    call VARCHAR(36) NOT NULL,
    step INTEGER NOT NULL,
    at DOUBLE NOT NULL,
    event TEXT NOT NULL,
    "before" VARCHAR(20) NOT NULL,
    "after" VARCHAR(20) NOT NULL,
    taken BOOLEAN NOT NULL,
    commands TEXT NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX idx_steps_call ON steps (call, id);

CREATE TABLE streams (
    id INTEGER NOT NULL,
    conversation_id INTEGER NOT NULL,
    stream_sid TEXT NOT NULL,
    started_at TEXT NOT NULL,
    ended_at TEXT,
    reason TEXT,
    PRIMARY KEY (id),
    FOREIGN KEY(conversation_id) REFERENCES conversations (id) ON DELETE CASCADE
);

CREATE INDEX idx_streams_conversation_id ON streams (conversation_id);

CREATE INDEX idx_streams_stream_sid ON streams (stream_sid);

CREATE TABLE transitions (
    id INTEGER NOT NULL,
    conversation_id INTEGER NOT NULL,
    at TEXT NOT NULL,
    event TEXT NOT NULL,
    "before" TEXT NOT NULL,
    "after" TEXT NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(conversation_id) REFERENCES conversations (id) ON DELETE CASCADE
);

CREATE INDEX idx_transitions_conversation_id ON transitions (conversation_id);

CREATE VIRTUAL TABLE conversation_search USING fts5(words);

CREATE TABLE kept_settings (
    profile VARCHAR(64) NOT NULL,
    name VARCHAR(64) NOT NULL,
    value TEXT NOT NULL,
    changed_at TEXT NOT NULL,
    PRIMARY KEY (profile, name)
);

CREATE TABLE do_not_call (
    id INTEGER NOT NULL,
    number VARCHAR(16) NOT NULL,
    business VARCHAR(64) NOT NULL,
    reason TEXT NOT NULL,
    added_at TEXT NOT NULL,
    added_by TEXT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (number, business)
);

CREATE TABLE events_out (
    seq INTEGER NOT NULL,
    id VARCHAR(40) NOT NULL,
    call VARCHAR(36) NOT NULL,
    type VARCHAR(64) NOT NULL,
    at DOUBLE NOT NULL,
    body TEXT NOT NULL,
    state VARCHAR(10) NOT NULL,
    tries INTEGER NOT NULL,
    since DOUBLE NOT NULL,
    next_at DOUBLE NOT NULL,
    settled_at DOUBLE,
    error TEXT,
    PRIMARY KEY (seq),
    UNIQUE (id)
);

CREATE INDEX idx_events_out_state ON events_out (state, next_at);

CREATE INDEX idx_events_out_call ON events_out (call, state, seq);

CREATE TABLE pointed_numbers (
    carrier VARCHAR(20) NOT NULL,
    number VARCHAR(32) NOT NULL,
    "temporary" BOOLEAN NOT NULL,
    address TEXT NOT NULL,
    parts TEXT NOT NULL,
    at DOUBLE NOT NULL,
    PRIMARY KEY (carrier, number, "temporary")
);

CREATE TABLE recordings (
    id INTEGER NOT NULL,
    conversation_id INTEGER NOT NULL,
    carrier TEXT NOT NULL,
    recording_id TEXT NOT NULL,
    state VARCHAR(10) NOT NULL,
    channels INTEGER,
    seconds DOUBLE,
    reason TEXT,
    created_at TEXT NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (conversation_id, recording_id),
    FOREIGN KEY(conversation_id) REFERENCES conversations (id) ON DELETE CASCADE
);

CREATE INDEX idx_recordings_recording_id ON recordings (recording_id);

CREATE INDEX idx_recordings_created_at ON recordings (created_at);

CREATE TABLE campaigns (
    id VARCHAR(36) NOT NULL,
    seq BIGINT NOT NULL,
    name TEXT NOT NULL,
    state VARCHAR(10) NOT NULL,
    asked TEXT NOT NULL,
    digest VARCHAR(64) NOT NULL,
    created_at TEXT NOT NULL,
    created_by TEXT NOT NULL,
    start_at DOUBLE NOT NULL,
    finished_at DOUBLE,
    error TEXT NOT NULL, business TEXT DEFAULT '' NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX idx_campaigns_seq ON campaigns (seq);

CREATE TABLE campaign_rows (
    campaign VARCHAR(36) NOT NULL,
    "row" INTEGER NOT NULL,
    line INTEGER NOT NULL,
    number VARCHAR(16) NOT NULL,
    zones TEXT NOT NULL,
    variables TEXT NOT NULL,
    state VARCHAR(10) NOT NULL,
    tries INTEGER NOT NULL,
    next_at DOUBLE NOT NULL,
    changed_at DOUBLE NOT NULL,
    outcome VARCHAR(20) NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (campaign, "row")
);

CREATE INDEX idx_campaign_rows_due ON campaign_rows (campaign, state, next_at, "row", zones);

CREATE TABLE profile_versions (
    seq INTEGER NOT NULL,
    profile VARCHAR(64) NOT NULL,
    version INTEGER NOT NULL,
    changed_at TEXT NOT NULL,
    changed_by TEXT NOT NULL,
    settings TEXT,
    PRIMARY KEY (seq),
    UNIQUE (profile, version)
);

CREATE TABLE provisions (
    carrier VARCHAR(20) NOT NULL,
    resource VARCHAR(100) NOT NULL,
    about TEXT NOT NULL,
    "before" TEXT NOT NULL,
    "after" TEXT NOT NULL,
    at DOUBLE NOT NULL,
    PRIMARY KEY (carrier, resource)
);

CREATE INDEX idx_conversations_carrier_call_id ON conversations (carrier_call_id);

CREATE TABLE hidden_conversations (
    conversation_id INTEGER NOT NULL,
    until DOUBLE NOT NULL,
    PRIMARY KEY (conversation_id),
    FOREIGN KEY(conversation_id) REFERENCES conversations (id) ON DELETE CASCADE
);

CREATE TABLE alerts (
    id VARCHAR(36) NOT NULL,
    "key" VARCHAR(100) NOT NULL,
    severity VARCHAR(10) NOT NULL,
    about TEXT NOT NULL,
    what TEXT NOT NULL,
    remedy TEXT NOT NULL,
    opened_at DOUBLE NOT NULL,
    seen_at DOUBLE,
    seen_by TEXT NOT NULL,
    closed_at DOUBLE,
    closed_by TEXT NOT NULL,
    over_at DOUBLE,
    PRIMARY KEY (id)
);

CREATE INDEX idx_alerts_opened_at ON alerts (opened_at);

CREATE TABLE share_links (
    id VARCHAR(16) NOT NULL,
    digest VARCHAR(64) NOT NULL,
    conversation_id INTEGER NOT NULL,
    created_at DOUBLE NOT NULL,
    created_by TEXT NOT NULL,
    expires_at DOUBLE NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(conversation_id) REFERENCES conversations (id) ON DELETE CASCADE
);

CREATE INDEX idx_share_links_conversation_id ON share_links (conversation_id);

CREATE TABLE own_tools (
    seq INTEGER NOT NULL,
    name VARCHAR(64) NOT NULL,
    version INTEGER NOT NULL,
    changed_at TEXT NOT NULL,
    changed_by TEXT NOT NULL,
    definition TEXT,
    PRIMARY KEY (seq),
    UNIQUE (name, version)
);

CREATE TABLE saved_views (
    name VARCHAR(80) NOT NULL,
    business VARCHAR(64) NOT NULL,
    filters TEXT NOT NULL,
    changed_at TEXT NOT NULL,
    changed_by TEXT NOT NULL,
    PRIMARY KEY (name, business)
);

CREATE TABLE control_settings (
    id INTEGER NOT NULL,
    settings TEXT NOT NULL,
    changed_at TEXT NOT NULL,
    changed_by TEXT NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE images (
    id INTEGER NOT NULL,
    conversation_id INTEGER NOT NULL,
    number INTEGER NOT NULL,
    shown_at TEXT NOT NULL,
    shown_by TEXT NOT NULL,
    mime TEXT NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    size INTEGER NOT NULL,
    shown BLOB NOT NULL,
    thumbnail BLOB NOT NULL,
    PRIMARY KEY (id),
    FOREIGN KEY(conversation_id) REFERENCES conversations (id) ON DELETE CASCADE,
    UNIQUE (conversation_id, number)
);

CREATE TABLE nodes (
    name VARCHAR(32) NOT NULL,
    epoch BIGINT NOT NULL,
    address TEXT NOT NULL,
    capacity INTEGER NOT NULL,
    calls INTEGER NOT NULL,
    lag_ms DOUBLE NOT NULL,
    state VARCHAR(10) NOT NULL,
    lease_until DOUBLE NOT NULL,
    started_at DOUBLE NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE claims (
    call VARCHAR(36) NOT NULL,
    node VARCHAR(32) NOT NULL,
    epoch BIGINT NOT NULL,
    PRIMARY KEY (call)
);

CREATE INDEX idx_claims_node ON claims (node, epoch);

CREATE TABLE secrets (
    name VARCHAR(32) NOT NULL,
    value TEXT NOT NULL,
    created_at DOUBLE NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE spent_calls (
    call VARCHAR(36) NOT NULL,
    started_at TEXT NOT NULL,
    profile TEXT NOT NULL,
    calls INTEGER NOT NULL,
    seconds DOUBLE NOT NULL,
    engine_usd DOUBLE NOT NULL,
    carrier_usd DOUBLE NOT NULL,
    unpriced_seconds DOUBLE NOT NULL,
    PRIMARY KEY (call)
);

INSERT INTO alembic_version (version_num) VALUES ('0026');
