-- The record. Postgres is the only place where anything is kept for good; the graph is a projection of it.
-- Every column says what it is for. Times are timestamptz in UTC.

create extension if not exists pg_trgm;

-- array_to_string is only stable for types in general; of text it never changes, so a generated column may use it
create function words(text[]) returns text language sql immutable parallel safe
    return array_to_string($1, ' ');

-- ---------------------------------------------------------------- people and access

create table app_user (
    id            uuid primary key,                    -- stable id, survives a rename
    issuer        text not null default 'local',       -- who vouches for the person: 'local' or a single sign-on issuer
    subject       text not null,                       -- the person's id at that issuer; for local users the username
    username      text not null unique,                -- what is typed at sign-in and shown in the audit
    display_name  text not null default '',            -- name shown on screen
    role          text not null check (role in ('admin', 'responder', 'viewer')), -- read on every request, never from a token
    password_hash text,                                -- argon2id; null for single sign-on users
    must_change   boolean not null default false,      -- a one-time password was set; the next sign-in asks for a new one
    disabled_at   timestamptz,                         -- set: may not sign in, sessions are ended
    created_at    timestamptz not null default now(),  -- when the account was made
    version       integer not null default 1,          -- counts human edits, for optimistic locking
    unique (issuer, subject)
);

create table user_session (
    id           uuid primary key,                     -- carried in the token as `sid`
    user_id      uuid not null references app_user on delete cascade, -- who signed in
    kind         text not null check (kind in ('page', 'api')), -- signed in through the page or by REST
    created_at   timestamptz not null default now(),   -- when the sign-in was
    last_seen_at timestamptz not null default now(),   -- idle sessions end; written at most once a minute
    expires_at   timestamptz not null,                 -- absolute end
    ended_at     timestamptz,                          -- sign-out, role change, disable, refresh reuse
    end_reason   text,                                 -- why it ended, for the audit
    remote_addr  text not null default '',             -- where the sign-in came from
    user_agent   text not null default ''              -- which browser or client
);
create index on user_session (user_id) where ended_at is null;

create table refresh_token (
    jti        uuid primary key,                       -- the token's own id
    session_id uuid not null references user_session on delete cascade, -- the session it prolongs; ends with it
    expires_at timestamptz not null,                   -- not accepted after this
    used_at    timestamptz                             -- set when rotated; a second use ends the whole session
);

create table sign_in_attempt (
    id          bigint generated always as identity primary key, -- order of arrival, nothing else
    username    text not null,                         -- what was typed, known or not
    remote_addr text not null,                         -- throttling counts per name and per address
    at          timestamptz not null default now(),    -- old ones are forgotten by this
    succeeded   boolean not null                       -- only failures count
);
create index on sign_in_attempt (username, at);
create index on sign_in_attempt (remote_addr, at);

create table producer (
    id            bigint generated always as identity primary key, -- short, because every event and run carries it
    name          text not null unique,                -- shown wherever its events are; survives key rotation
    environment   text,                                -- jobs it sends are in this environment; null: by pattern, else 'default'
    created_at    timestamptz not null default now(),  -- when its first key was made
    last_event_at timestamptz,                         -- newest accepted event, written at most every few seconds
    last_refused_at timestamptz,                       -- newest refusal (expired or revoked key)
    expected_every interval                            -- quiet longer than this is a state of the producer; null: not watched
);

create table api_key (
    id           uuid primary key,                     -- named in the API and the audit in place of the key
    producer_id  bigint references producer,           -- set where the key may send lineage
    name         text not null,                        -- what people call it
    hash         bytea not null unique,                -- SHA-256 of the key; the key itself is shown once and not kept
    prefix       text not null,                        -- first characters, to recognise it in a list
    scopes       text[] not null,                      -- lineage:write, read, write
    created_by   uuid references app_user,             -- which admin made it; null: the system
    created_at   timestamptz not null default now(),   -- when it was made
    expires_at   timestamptz,                          -- refused from then on; null: never
    revoked_at   timestamptz,                          -- set: refused from then on
    last_used_at timestamptz                           -- written at most once a minute
);

create table audit_log (
    seq         bigint primary key,                    -- gapless, part of the chain
    at          timestamptz not null,                  -- when, by the database's clock
    actor_kind  text not null,                         -- user, api_key, system
    actor_id    text not null,                         -- id of the user or key
    actor_name  text not null,                         -- name at that time
    remote_addr text not null,                         -- from where
    action      text not null,                         -- e.g. node.edit, session.start, impact.export
    object_type text not null,                         -- node, edge, team, user, api_key…
    object_id   text not null,                         -- its id; for a file or a list, what names it
    before      jsonb,                                 -- the fields that changed, as they were; never a secret
    after       jsonb,                                 -- and as they are
    prev_hash   bytea not null,                        -- hash of the row before
    hash        bytea not null                         -- SHA-256 over this row's canonical JSON and prev_hash
);
create index on audit_log (object_type, object_id, seq desc);
create index on audit_log (actor_name, seq desc);

create table setting (
    key     text primary key,                          -- a runtime setting people edit in forms
    value   jsonb not null,                            -- as the form saves it
    version integer not null default 1                 -- counts human edits, for optimistic locking
);

-- ---------------------------------------------------------------- teams

create table team (
    id          uuid primary key,                      -- stable id, survives a rename
    name        text not null,                         -- unique without regard to case
    description text not null default '',              -- free text for people
    people      jsonb not null default '[]',           -- [{"name", "email"}]
    channels    jsonb not null default '[]',           -- [{"kind": "slack", "target": "#data"}]: where to call them
    retired_at  timestamptz,                           -- set: offered nowhere, owns nothing new
    version     integer not null default 1             -- counts human edits, for optimistic locking
);
create unique index team_name on team (lower(name));

create table team_pattern (
    id      bigint generated always as identity primary key, -- order in which patterns were added
    team_id uuid not null references team on delete cascade, -- whom what matches belongs to
    pattern text not null                              -- glob over 'namespace/name': nodes it matches are owned by the team
);

-- ---------------------------------------------------------------- how names are read

create table naming_rule (
    id          bigint generated always as identity primary key, -- named in the API and the audit
    kind        text not null check (kind in ('host_alias', 'default_schema', 'ignore', 'environment', 'partition')), -- which step of reading a name it belongs to
    producer_id bigint references producer,            -- null: for all producers
    pattern     text not null,                         -- host_alias: host[:port]; default_schema: namespace glob; ignore, environment, partition: regular expression over 'namespace/name' (environment: over namespace)
    value       text not null default '',              -- host_alias: the true host[:port]; default_schema: 'schema' or 'database.schema'; environment: its name; partition: replacement
    created_at  timestamptz not null default now(),    -- when an admin added it
    unique nulls not distinct (kind, producer_id, pattern)
);

-- ---------------------------------------------------------------- events as they came

create table event (
    day         date not null,                         -- day received: the partition, dropped whole when it expires
    id          bigint not null,                       -- order of arrival, from event_id_seq
    producer_id bigint not null,                       -- who sent it
    received_at timestamptz not null default now(),    -- when it was accepted, by our clock
    hash        bytea not null,                        -- SHA-256 of the decompressed body as sent
    size        integer not null,                      -- bytes of the redacted body before compression
    body        bytea not null,                        -- redacted JSON, zlib
    primary key (day, id)
) partition by range (day);
create sequence event_id_seq;

create table event_key (
    producer_id bigint not null,                       -- who sent it; the same body of two producers is two events
    hash        bytea not null,                        -- a re-sent event is recognised here, whatever day it first came
    day         date not null,                         -- partition that holds it; rows expire with it
    primary key (producer_id, hash)
);
create index on event_key (day);

create table event_pending (
    id          bigint primary key,                    -- event.id; the queue of what is not folded yet
    day         date not null,                         -- where the event is: its partition
    attempts    smallint not null default 0,           -- failed folds; after three it is set aside
    error       text,                                  -- why the last fold failed; set aside rows keep it
    set_aside   boolean not null default false         -- not tried again until `dlv refold`
);
create index on event_pending (id) where not set_aside;

-- ---------------------------------------------------------------- names, nodes and why they are one

create table alias (
    id          uuid primary key,                      -- UUIDv5 of (environment, namespace, name, type)
    environment text not null,                         -- prod, staging, default: part of the identity
    namespace   text not null,                         -- normalised
    name        text not null,                         -- normalised
    type        text not null check (type in ('dataset', 'job')), -- what sort of thing the name is for
    kind        text not null,                         -- table, view, topic, file, task, query, model…
    kind_rank   smallint not null default 0,           -- how sure the source of `kind` is; a surer one wins in any order
    system      text not null,                         -- postgres, kafka, airflow…
    node_id     uuid not null,                         -- the component it belongs to: the smallest alias id in it
    parent_id   uuid,                                  -- alias of the DAG, application or project; jobs only
    parent_at   timestamptz,                           -- event time of that statement; the newest wins
    unresolved  text,                                  -- why the name could not be resolved and what was tried; null: resolved
    first_seen  timestamptz not null,                  -- smallest event time
    last_seen   timestamptz not null                   -- largest event time
);
create index on alias (node_id);
create index on alias (parent_id) where parent_id is not null;
create index on alias (namespace, name);

create table alias_sent (
    namespace   text not null,                         -- exactly as a producer wrote it
    name        text not null,                         -- the name exactly as it was written
    type        text not null,                         -- said of a dataset or of a job
    producer_id bigint not null default 0,             -- who wrote it; 0: by hand
    alias_id    uuid not null references alias on delete cascade, -- what it was read as
    primary key (namespace, name, type, producer_id, alias_id)
);
create index on alias_sent (alias_id);

create table evidence (
    a          uuid not null references alias on delete cascade, -- the smaller id of the pair
    b          uuid not null references alias on delete cascade, -- the other alias, the larger id of the two
    kind       text not null check (kind in ('naming', 'symlink', 'merge', 'split')), -- a split wins over all
    source     text not null,                          -- the rule, the producer or the person
    created_at timestamptz not null,                   -- when it was first said
    primary key (a, b, kind),
    check (a < b)
);
create index on evidence (b);

create table dataset_drop (
    alias_id   uuid not null references alias on delete cascade, -- which name was dropped
    at         timestamptz not null,                   -- event time of a DROP, or of a RENAME away from this name
    renamed_to uuid,                                   -- alias of the new name; null for DROP
    primary key (alias_id, at)
);

create table alias_field (
    alias_id uuid not null references alias on delete cascade, -- fields attach to aliases, so a split gives them back
    field    text not null check (field in ('owner', 'sla', 'tags', 'criticality', 'description', 'name', 'kind')), -- which field it speaks of
    source   text not null check (source in ('manual', 'file', 'pattern', 'event')), -- precedence in this order
    value    jsonb not null,                           -- owner: team id, or a name as events say it; sla: {"kind","minutes"}; tags: [..]
    set_by   text not null,                            -- person, file name, pattern or producer
    set_at   timestamptz not null,                     -- the newest of one source wins
    primary key (alias_id, field, source)
);

create table node (
    id            uuid primary key,                    -- smallest alias id of the component
    type          text not null,                       -- dataset or job
    kind          text not null,                       -- table, view, topic, task: of its strongest alias
    system        text not null,                       -- postgres, kafka, airflow: by the namespace
    environment   text not null,                       -- of the alias that gives the id
    namespace     text not null,                       -- of the alias shown: the one seen last, ties by id
    name          text not null,                       -- what is shown and searched
    parent_id     uuid,                                -- node of the DAG, application or project
    standin       boolean not null default false,      -- a job nobody observed, between two datasets of a hand-drawn edge
    owner_id      uuid references team,                -- owning team
    owner_name    text not null default '',            -- the team's name, or the owner as events say it where no team bears that name
    owner_source  text,                                -- manual, file, pattern or event: who set it
    sla_kind      text,                                -- freshness or completion
    sla_minutes   integer,                             -- its limit
    tags          text[] not null default '{}',        -- effective tags, all sources together
    criticality   smallint check (criticality between 1 and 4), -- 1 is the most critical
    description   text not null default '',            -- effective description
    health        text not null default 'unknown' check (health in ('ok', 'warn', 'late', 'failed', 'unknown')), -- own health
    health_reason text not null default '',            -- one line a person understands
    health_since  timestamptz,                         -- event time of the change
    health_run    uuid,                                -- run.key that decided it
    recovered_at  timestamptz,                         -- when it last went from failed or late to ok
    made_at       timestamptz,                         -- end of the newest good run that wrote it (dataset) or of it (job)
    running       boolean not null default false,      -- overlay
    first_seen    timestamptz not null,                -- earliest of its aliases
    last_seen     timestamptz not null,                -- newest of its aliases
    retired_at    timestamptz,                         -- taken off the map by an admin
    dropped_at    timestamptz,                         -- newest DROP or RENAME away that nothing was seen after
    version       integer not null default 1,          -- counts human edits only
    search        text generated always as (lower(namespace || '/' || name || ' ' || owner_name || ' ' || words(tags))) stored -- what search as you type looks in
);
create index node_search on node using gin (search gin_trgm_ops);
create index node_name_lower on node (lower(name) text_pattern_ops);
create index node_leaf_lower on node (lower(regexp_replace(name, '^.*[./]', '')) text_pattern_ops);
create index node_tags on node using gin (tags);
create index on node (parent_id) where parent_id is not null;
create index on node (owner_id);
create index on node (health) where health in ('failed', 'late', 'warn');
create index on node (name, id);
create index on node (recovered_at) where recovered_at is not null;

create table annotation (
    id          uuid primary key,                      -- named in the API and the audit
    object_type text not null check (object_type in ('node', 'edge')), -- what it is pinned to
    object_id   uuid not null,                         -- an alias id of the node, or the edge id
    text        text not null,                         -- what people wrote
    author      text not null,                         -- name of who wrote it, as it was then
    created_at  timestamptz not null default now(),    -- when it was written
    edited_at   timestamptz,                           -- when its author last changed it
    deleted_at  timestamptz                            -- set: shown nowhere, kept for the audit
);
create index on annotation (object_id) where deleted_at is null;

-- ---------------------------------------------------------------- edges with a life

create table edge (
    id         uuid primary key,                       -- UUIDv5 of (source alias, target alias)
    source     uuid not null references alias,         -- dataset → job (reads) or job → dataset (writes)
    target     uuid not null references alias,         -- the alias that data flows to
    provenance text[] not null,                        -- sorted set of openlineage, dbt, sql, scan, manual
    first_seen timestamptz not null,                   -- earliest time anything proved it
    last_seen  timestamptz not null,                   -- ages on screen; nothing is dropped silently
    retired_at timestamptz,                            -- newest retirement nothing was seen after; derived from edge_retirement
    version    integer not null default 1,             -- counts human edits
    unique (source, target)
);
create index on edge (target);

create table edge_interval (
    edge_id    uuid not null references edge on delete cascade, -- whose life it is a piece of
    valid_from timestamptz not null,                   -- first sighting
    last_seen  timestamptz not null,                   -- last sighting inside it
    valid_to   timestamptz,                            -- a drop, rename or retirement ended it; null: holds now
    primary key (edge_id, valid_from)
);
create index on edge_interval (edge_id) where valid_to is null;

create table edge_retirement (
    edge_id uuid not null references edge on delete cascade, -- which edge was ended
    at      timestamptz not null,                      -- the edge ends here; a later sighting opens it again
    by      text not null,                             -- who, or the observed job that covers a stand-in
    primary key (edge_id, at)
);

create table edge_run (
    edge_id    uuid not null references edge on delete cascade, -- what is proved
    run_key    uuid not null,                          -- a run that proves the edge; the edge's own id where people drew it
    provenance text not null,                          -- openlineage, dbt, sql, scan or manual: how it was told
    first_at   timestamptz not null,                   -- smallest and largest event time that mention it
    last_at    timestamptz not null,                   -- newest sighting by this run
    primary key (edge_id, run_key, provenance)
);
create index on edge_run (run_key);
create index on edge_run (edge_id, last_at desc);

create table column_edge (
    job_alias     uuid not null references alias,      -- the job through which the column flows
    source_alias  uuid not null references alias,      -- the dataset read
    source_column text not null,                       -- the column read
    target_alias  uuid not null references alias,      -- the dataset written
    target_column text not null,                       -- '' for an effect on the whole dataset (INDIRECT: filter, join…)
    provenance    text not null,                       -- openlineage or sql
    transformation text not null default '',           -- DIRECT/IDENTITY, INDIRECT/FILTER… as the facet says
    masking       boolean not null default false,      -- the transformation hides the value
    confidence    real not null default 1,             -- 1: stated and confirmed by SQL; less where only one of them says so
    first_seen    timestamptz not null,                -- earliest time it was said
    last_seen     timestamptz not null,                -- newest time it was said
    primary key (job_alias, source_alias, source_column, target_alias, target_column, provenance)
);
create index on column_edge (source_alias, source_column);
create index on column_edge (target_alias, target_column);

create table schema_version (
    alias_id   uuid not null references alias on delete cascade, -- the dataset as somebody names it
    hash       bytea not null,                         -- of the canonical fields
    fields     jsonb not null,                         -- [{"name","type","description"?,"fields"?}] in the producer's order
    first_seen timestamptz not null,                   -- earliest time this form was seen
    last_seen  timestamptz not null,                   -- the version with the largest is the current one
    primary key (alias_id, hash)
);

create table alias_facet (
    alias_id uuid not null references alias on delete cascade, -- whom the facet speaks of
    name     text not null,                            -- facet name; facets replace by name
    at       timestamptz not null,                     -- event time; the newest wins, ties by hash
    hash     bytea not null,                           -- breaks ties between facets of one time
    body     jsonb,                                    -- null: `_deleted`
    primary key (alias_id, name)
);

create table assertion (
    alias_id   uuid not null references alias on delete cascade, -- the dataset it speaks of
    name       text not null,                          -- assertion and, where several, its test name
    column_name text not null default '',              -- the column it is about; '' for the whole dataset
    severity   text not null default 'error',          -- error → failed, warn → warn
    success    boolean not null,                       -- how its newest execution went
    message    text not null default '',               -- expected and actual counts, never row values
    at         timestamptz not null,                   -- event time; the newest wins, ties by hash
    hash       bytea not null,                         -- breaks ties between executions of one time
    run_key    uuid,                                   -- the run that executed it, where it said so
    primary key (alias_id, name, column_name)
);

create table event_warning (
    alias_id    uuid,                                  -- node it concerns; null: only the producer is known
    producer_id bigint not null,                       -- whose events break the specification
    path        text not null,                         -- where in the event
    message     text not null,                         -- what the specification wants
    first_at    timestamptz not null,                  -- earliest event that did
    last_at     timestamptz not null,                  -- newest event that did
    unique nulls not distinct (alias_id, producer_id, path, message)
);

-- ---------------------------------------------------------------- runs

create table run (
    day           date not null,                       -- day DLV first heard of it: the partition
    key           uuid not null,                       -- UUIDv5 of (job alias, run id as sent)
    job_alias     uuid not null,                       -- the job it is an execution of
    run_id        text not null,                       -- as sent
    state         text not null,                       -- START, RUNNING, OTHER, COMPLETE, FAIL, ABORT
    state_at      timestamptz not null,                -- event time of that state
    state_hash    bytea not null,                      -- breaks ties, so that any order folds to the same
    started_at    timestamptz,                         -- earliest START
    ended_at      timestamptz,                         -- event time of the terminal state that counts: the earliest
    due_at        timestamptz not null,                -- nominal start where known, else start, else first event
    nominal_start timestamptz,                         -- data interval
    nominal_end   timestamptz,                         -- end of the data interval
    first_event_at timestamptz not null,               -- earliest eventTime of its events
    last_event_at timestamptz not null,                -- newest eventTime of its events
    trigger       text not null default 'unknown',     -- scheduled, manual, backfill or unknown; only the first and last may redden
    try_number    smallint,                            -- which attempt it is, where the producer counts them
    max_tries     smallint,                            -- FAIL is final when try_number reaches it, or where it is unknown
    sub           boolean not null default false,      -- a query inside its parent task's run: kept, not counted
    streaming     boolean not null default false,      -- never late
    parent_job    uuid,                                -- alias of the parent job
    parent_run_id text,                                -- the parent run's id as it was sent
    error         text,                                -- first line, redacted
    error_detail  text,                                -- stack trace, redacted
    log_url       text,                                -- link to the run's log where an event carries one
    producer_id   bigint not null,                     -- who sent it first
    detail        jsonb not null default '{}',         -- engine, versions, row counts: small, redacted
    primary key (day, key)
) partition by range (day);
create index run_by_job on run (job_alias, due_at desc);

create table run_key (
    key uuid primary key,                              -- pins a run to its partition
    day date not null                                  -- the partition the run is in
);
create index on run_key (day);

create table transition (
    id       bigint generated always as identity primary key, -- order in which changes were stored
    node_id  uuid not null,                            -- node at that time
    at       timestamptz not null,                     -- event time of what caused it
    noted_at timestamptz not null default now(),       -- when DLV noticed
    was      text not null,                            -- health before
    now      text not null,                            -- health after
    reason   text not null,                            -- why, in words for people
    run_key  uuid                                      -- the run that caused it, if one did
);
create index on transition (node_id, id desc);

-- ---------------------------------------------------------------- what the graph still has to learn

create sequence graph_version_seq;

create table graph_dirty (
    kind    text not null check (kind in ('node', 'edge')), -- node or edge: what the id names
    key     uuid not null,                             -- node id, or edge id
    version bigint not null,                           -- from graph_version_seq at every mark; removed only if unmoved
    marked_at timestamptz not null default now(),      -- how long it waits, for the status page
    primary key (kind, key)
);

create table graph_redo (                              -- what was projected while a rebuild fills the next generation
    kind text not null,                                -- as in graph_dirty
    key  uuid not null,                                -- as in graph_dirty; brought into the next generation before it is used
    primary key (kind, key)
);

create table graph_state (
    one          boolean primary key default true check (one), -- holds the table to a single row
    generation   integer not null default 1,           -- readers use this one; a rebuild fills the next and then moves it
    projected_at timestamptz,                          -- last time the projector caught up
    away_since   timestamptz,                          -- the projector cannot reach the graph since
    rebuild      jsonb                                 -- {"done","total","started_at","generation"} while a rebuild runs
);
insert into graph_state default values;
