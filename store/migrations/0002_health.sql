-- Health: connections, checks, their slots and results, incidents, alerts, and what DLV knows of itself.
-- Every column says what it is for. Times are timestamptz in UTC.

-- The clock of the schedule. Inlined, so it costs nothing; a test moves the clock of a whole DLV by replacing it.
create function dlv_now() returns timestamptz language sql stable as 'select now()';

-- ---------------------------------------------------------------- connections

create table connection (
    id         uuid primary key,                       -- named in the API, in checks and in the audit
    name       text not null,                          -- what people call it; unique without regard to case
    kind       text not null,                          -- postgres, mysql, sqlite, kafka, kafka_connect, airflow, spark, http: connections.kinds has its fields
    fields     jsonb not null default '{}',            -- what is no secret: host, port, user, TLS…, as the kind's form names it
    secrets    jsonb not null default '{}',            -- {field: {"key": id of the key, "data": base64 of the sealed value}}; never shown, never in the audit
    last_test  jsonb,                                  -- the newest "test connection": {"at", "ok", "step", "message", "hint"}
    retired_at timestamptz,                            -- set: offered nowhere, its checks do not look
    created_at timestamptz not null default now(),     -- when it was made
    version    integer not null default 1              -- counts human edits, for optimistic locking
);
create unique index connection_name on connection (lower(name)) where retired_at is null;

-- ---------------------------------------------------------------- checks

create table health_check (
    id            uuid primary key,                    -- named in the API, in results and in the audit
    name          text not null,                       -- what people call it, shown beside the node
    kind          text not null,                       -- reachable, freshness, volume, schema, sql, topic, lag…: checks.registry has its fields
    node_id       uuid not null references alias,      -- an alias of the node it speaks of, so that merge and split carry it
    connection_id uuid references connection,          -- how to reach what it looks at; null: what events say, or a heartbeat
    config        jsonb not null default '{}',         -- the kind's own fields, limits included
    severity      text not null default 'error' check (severity in ('error', 'warn')), -- warn: a failure only warns
    every_seconds integer not null check (every_seconds >= 10), -- distance between two slots
    offset_seconds integer not null default 0,         -- slots lie at offset + k * every since the epoch, so that checks spread
    paused_at     timestamptz,                         -- set by people: no slot is made while it is paused
    muted_until   timestamptz,                         -- slots before this end as muted
    next_slot_at  timestamptz,                         -- the next slot to be made; null: paused or retired
    token_hash    bytea,                               -- heartbeat: SHA-256 of the token in its URL, shown once
    retired_at    timestamptz,                         -- removed by people; its results stay until they expire
    accepted      jsonb,                               -- what people last declared the new normal: {"at", "memory"}; null: what the first look saw
    learnt_from   timestamptz not null default now(),  -- results before it are of something else: no baseline is made of them
    begun_at      timestamptz not null default now(),  -- since when it looks: made, or last resumed; silence before that is nobody's
    created_at    timestamptz not null default now(),  -- when it was made
    version       integer not null default 1           -- counts human edits, for optimistic locking
);
create index on health_check (next_slot_at) where next_slot_at is not null;
create index on health_check (node_id) where retired_at is null;
create index on health_check (connection_id) where retired_at is null;
create unique index on health_check (token_hash) where token_hash is not null;

create table check_state (
    check_id   uuid primary key references health_check on delete cascade, -- one row a check, written with each result
    status     text not null default 'not_checked',    -- of the newest slot that counts: ok, warn, fail, error, not_checked, muted
    health     text not null default 'unknown',        -- what it says of its node: ok, warn, late, failed, unknown
    reason     text not null default 'not checked yet', -- one line a person understands
    since      timestamptz,                            -- slot of the first result of this health
    slot_at    timestamptz,                            -- slot of the newest result; an older one that comes late does not move the state
    value      double precision,                       -- its number, where the kind has one
    memory     jsonb not null default '{}'             -- what the kind keeps from one look to the next: the schema seen, the last lag…
);

-- What is due and has not ended. A slot is made here in the transaction that moves next_slot_at, and leaves in the one
-- that writes its result: at any moment it is in one of the two tables, never in none, never in both.
create table check_slot (
    check_id    uuid not null,                         -- whose slot it is
    slot_at     timestamptz not null,                  -- when it was due; with check_id the identity of the slot
    made_at     timestamptz not null default dlv_now(), -- when the scheduler made it
    token       uuid,                                  -- of the attempt that holds it; a result of an attempt that lost it is refused. Null: nobody
    holder      bigint,                                -- advisory lock that the process of that attempt holds: free once it died
    attempts    smallint not null default 0,           -- how often a worker took it
    due_again   timestamptz default dlv_now(),         -- from when it may be taken (again); null while somebody holds it
    deadline_at timestamptz not null,                  -- after this whoever holds it, or should have taken it, is given up
    started_at  timestamptz,                           -- when the newest attempt took it
    primary key (check_id, slot_at)
);
create index on check_slot (due_again, slot_at) where due_again is not null;

-- Slots that passed while DLV did not run: each row stands for many, until they are written as not_checked, so many
-- at a time.
create table check_missed (
    id             bigint generated always as identity primary key, -- order in which they were noticed
    check_id       uuid not null,                      -- whose slots they are
    since          timestamptz not null,               -- the first that is not written yet
    until          timestamptz not null,               -- the first that is none of them
    every_seconds  integer not null check (every_seconds > 0), -- their distance, as it was then
    reason         text not null                       -- why nobody looked
);

-- Two looks at once through a connection: a row a look, removed by the thread that looked, however late, or once its
-- process died.
create table check_look (
    id            uuid primary key,                    -- the token of the attempt
    connection_id uuid not null,                       -- through which it looks
    holder        bigint not null,                     -- as in check_slot
    since         timestamptz not null default dlv_now() -- when it was taken
);
create index on check_look (connection_id);

create table check_result (
    check_id    uuid not null,                         -- whose slot it is
    slot_at     timestamptz not null,                  -- when it was due; with check_id the identity of the slot. Its day is the partition
    status      text not null check (status in ('ok', 'warn', 'fail', 'error', 'not_checked', 'muted')), -- what the slot ended as; never changed
    attempts    smallint not null default 0,           -- how often a worker took it
    started_at  timestamptz,                           -- when the attempt that counts began to look; null: nobody looked
    ended_at    timestamptz not null default dlv_now(), -- when the status was written
    value       double precision,                      -- the number that was judged, where the kind has one
    reason      text not null default '',              -- why, in words for people; redacted
    detail      jsonb,                                 -- further figures, small; never row values
    primary key (check_id, slot_at)
) partition by range (slot_at);
create index check_result_slot on check_result (slot_at, check_id);
-- what is not ok is rare, and searched for
create index check_result_said on check_result (slot_at, check_id, status) where status <> 'ok';
create index check_result_of on check_result (check_id, slot_at, status) where status <> 'ok';

create table check_rollup (
    grain       text not null check (grain in ('minute', 'hour', 'day')), -- width of the bucket
    at          timestamptz not null,                  -- start of the bucket
    check_id    uuid not null,                         -- whose results they are
    ok          integer not null default 0,            -- slots that ended so in the bucket
    warn        integer not null default 0,            -- as above
    fail        integer not null default 0,            -- as above
    error       integer not null default 0,            -- faults of DLV: neither up nor down
    not_checked integer not null default 0,            -- could not look: neither up nor down
    muted       integer not null default 0,            -- people had muted it: neither up nor down
    value_min   double precision,                      -- smallest number judged
    value_max   double precision,                      -- largest
    value_sum   double precision,                      -- for the mean
    value_n     integer not null default 0,            -- how many numbers are in the sum
    primary key (check_id, grain, at)
);
create index on check_rollup (grain, at);

create table heartbeat (
    id       bigint generated always as identity primary key, -- order of arrival
    check_id uuid not null references health_check on delete cascade, -- whose URL was called
    at       timestamptz not null default now(),       -- when, by our clock
    kind     text not null check (kind in ('start', 'success', 'fail')), -- which of its URLs
    note     text not null default ''                  -- exit code or a short text sent along, redacted
);
create index on heartbeat (check_id, at desc);

-- ---------------------------------------------------------------- transitions: what alerts and uptime read

create table transition_pending (
    transition_id bigint primary key,                  -- a transition nobody has decided about yet; removed when it is decided
    marked_at     timestamptz not null default now()   -- how long it waits, for the status page
);

alter table transition add column check_id uuid;       -- the check that caused it, if one did
alter table transition add column made_at timestamptz; -- when the node was last made or ended well, as known when it changed
create index transition_at on transition (at);
-- what is bad as this comes is decided about as well
insert into transition_pending (transition_id)
select max(t.id) from transition t join node n on n.id = t.node_id and n.health in ('failed', 'late')
 where t.now in ('failed', 'late') and n.retired_at is null group by t.node_id;
update transition t set made_at = n.made_at from transition_pending p, node n
 where p.transition_id = t.id and n.id = t.node_id and n.made_at <= t.at;

alter table node add column sla_at timestamptz;        -- when it breaks its SLA unless something is done; null: no SLA, or nothing to reckon from
alter table node add column judge_at timestamptz default now(); -- when time alone may change its health next; null: only news can

alter table node add column paused boolean not null default false; -- its orchestrator paused it, as a connection tells: never late
create index node_paused on node (id) where paused;

create index node_judge_at on node (judge_at) where judge_at is not null;

-- ---------------------------------------------------------------- producers and the parts of DLV itself

alter table producer add column quiet_since timestamptz; -- since when nothing comes that should; null: sending, or not watched
alter table producer add column quiet_reason text;     -- why, in words: no event for…, or refused because its key expired
alter table producer add column connection_id uuid references connection; -- Airflow's REST that fills the gap after silence
alter table producer add column refused_since timestamptz; -- first refusal after the newest accepted event; null: none
alter table producer add column retired_at timestamptz; -- people said that nothing more comes from it: never quiet, its jobs never late

create table producer_gap (
    id          bigint generated always as identity primary key, -- named in the log
    producer_id bigint not null references producer,   -- whose run states were not heard
    began_at    timestamptz not null,                  -- newest event before
    ended_at    timestamptz not null,                  -- when events were heard again
    reason      text not null,                         -- why, in words: it was quiet, or DLV was down
    filled_at   timestamptz,                           -- run states of the time were fetched from its connection; null: unknown
    next_try_at timestamptz,                           -- when they are asked for next; null: it has no connection
    tries       integer not null default 0,            -- how often they were asked for in vain
    error       text,                                  -- why the newest try failed
    unique (producer_id, began_at)
);
create index on producer_gap (next_try_at) where filled_at is null;

-- children of a run: an application's queries, a DAG run's tasks
create index run_by_parent on run (parent_job, parent_run_id) where parent_job is not null;

create table part_beat (
    part     text not null,                            -- scheduler, fold, project, check, alert, web
    instance text not null,                            -- host and process, so that any number may run
    at       timestamptz not null,                     -- newest sign of life, written every few seconds
    detail   jsonb not null default '{}',              -- figures of that part: lag, queue length
    primary key (part, instance)
);

create table own_gap (
    id       bigint generated always as identity primary key, -- named in the history
    part     text not null,                            -- which part of DLV did not work
    began_at timestamptz not null,                     -- uptime and SLA attainment leave the time between out
    ended_at timestamptz,                              -- null: still away
    reason   text not null default ''                  -- stopped, Redis away, clock moved…
);
create index on own_gap (began_at);

-- ---------------------------------------------------------------- incidents

create table incident (
    id              uuid primary key,                  -- named in the API, in links and in messages
    number          bigint generated always as identity, -- what people say: INC-42
    key             text not null unique,              -- dedup key under which people were told; survives a re-rooting
    status          text not null default 'open' check (status in ('open', 'resolved', 'merged')), -- merged: taken over by another
    root_type       text not null default 'node' check (root_type in ('node', 'producer')), -- what broke: something on the map, or who sends events
    root_node       uuid,                              -- an alias of the root; null for a producer
    producer_id     bigint references producer,        -- the quiet producer, where it is the root
    title           text not null,                     -- one line: what broke
    error           text not null default '',          -- first line of the root's error, redacted
    log_url         text,                              -- link to the run's log where an event carries one
    severity        smallint not null default 4 check (severity between 1 and 4), -- 1 is the worst
    severity_why    jsonb not null default '[]',       -- the reasons, a line each, as they are shown
    blast           jsonb not null default '{}',       -- {"total", "by_hop", "teams", "critical", "next_sla", "as_of"} as last counted; {} while the graph was away
    owner_id        uuid references team,              -- team of the root when it opened, or assigned by hand
    assignee        text,                              -- person who took it
    acknowledged_at timestamptz,                       -- set: somebody works on it, reminders stop
    acknowledged_by text,                              -- who
    opened_at       timestamptz not null,              -- event time of the first transition
    noted_at        timestamptz not null default now(), -- when DLV noticed
    episode_at      timestamptz not null default now(), -- when DLV noticed that it opened or came back: how long it was broken this time
    changed_at      timestamptz not null default now(), -- newest line of the timeline
    resolved_at     timestamptz,                       -- when all members had recovered
    reopened        smallint not null default 0,       -- how often it came back within the window
    notify_at       timestamptz,                       -- when people are told what they do not know yet; null: nothing to tell
    told_at         timestamptz,                       -- when people were first told; null: not told yet
    told_severity   smallint,                          -- severity people were last told; null: not told yet
    told_status     text,                              -- its status as they were last told
    weigh_at        timestamptz,                       -- when blast radius and severity are next computed; null: not any more
    merged_into     uuid references incident,          -- the incident that took it over
    possibly_caused_by uuid references incident,       -- a doubtful cause, linked and not joined
    graph_away      boolean not null default false,    -- decided without the graph; looked at again when it is back
    version         integer not null default 1         -- counts human edits, for optimistic locking
);
create index on incident (status, severity, opened_at desc);
create index on incident (root_node) where status = 'open';
create index on incident (notify_at) where notify_at is not null;
create index on incident (weigh_at) where weigh_at is not null;
create index on incident (opened_at desc);

create table incident_member (
    incident_id  uuid not null references incident on delete cascade, -- which incident
    node_id      uuid not null,                        -- an alias of the node
    role         text not null check (role in ('root', 'symptom')), -- what it is in this incident
    health       text not null,                        -- failed or late as it joined; ok once it recovered
    joined_at    timestamptz not null,                 -- when it went bad: event time of the transition by which it joined
    last_good    timestamptz,                          -- its last success before that; null: none is known
    recovered_at timestamptz,                          -- event time by which it was good again; null: it is not
    run_key      uuid,                                 -- the run that turned it bad, if one did
    cause        uuid,                                 -- the member that it follows from; null: the root
    hop          smallint,                             -- distance from that member; null: not known
    reason       text not null default '',             -- why it joined, in words
    primary key (incident_id, node_id)
);
create index on incident_member (node_id) where recovered_at is null;

create table incident_entry (
    id          bigint generated always as identity primary key, -- order of the timeline
    incident_id uuid not null references incident on delete cascade, -- whose timeline
    at          timestamptz not null,                  -- when it happened
    kind        text not null,                         -- opened, joined, transition, check, run_error, rerooted, linked, severity, notified, acknowledged, assigned, commented, silenced, recovered, resolved, reopened, merged
    text        text not null,                         -- the line as people read it
    actor       text not null default '',              -- who did it; '' for DLV itself
    node_id     uuid,                                  -- the node it speaks of
    detail      jsonb                                  -- ids and figures behind the line
);
create index on incident_entry (incident_id, id);

-- ---------------------------------------------------------------- alerts

create table channel (
    id         uuid primary key,                       -- named in the API, rules and the delivery log
    name       text not null,                          -- what people call it; unique without regard to case
    kind       text not null check (kind in ('email', 'slack', 'webhook', 'pagerduty')), -- how it is told
    fields     jsonb not null default '{}',            -- what is no secret
    secrets    jsonb not null default '{}',            -- sealed like a connection's
    last_test  jsonb,                                  -- the newest test message: {"at", "ok", "message", "hint"}
    retired_at timestamptz,                            -- removed by people; the log of what it delivered stays
    created_at timestamptz not null default now(),     -- when it was made
    version    integer not null default 1              -- counts human edits, for optimistic locking
);
create unique index channel_name on channel (lower(name)) where retired_at is null;

create table alert_rule (
    id            uuid primary key,                    -- named in the API and in the delivery log
    name          text not null,                       -- what people call it
    position      integer not null,                    -- rules are looked at in this order
    enabled       boolean not null default true,       -- off: as if it were not there
    min_severity  smallint not null default 4 check (min_severity between 1 and 4), -- incidents at least as bad
    nodes         uuid[] not null default '{}',        -- roots or members; empty: any
    tags          text[] not null default '{}',        -- tags of root or members; empty: any
    teams         uuid[] not null default '{}',        -- owners of root or members; empty: any
    environments  text[] not null default '{}',        -- of the root; empty: any
    channels      uuid[] not null,                     -- who is told
    group_seconds integer,                             -- how long failures gather before they are told; null: the default
    repeat_minutes integer,                            -- told again while nobody acknowledged; null: once
    stop          boolean not null default false,      -- rules below are not looked at
    version       integer not null default 1           -- counts human edits, for optimistic locking
);

create table silence (
    id         uuid primary key,                       -- named in the API and in the timeline
    kind       text not null default 'silence' check (kind in ('silence', 'maintenance')), -- maintenance is planned, and keeps out of uptime
    reason     text not null,                          -- why, for who comes later
    nodes      uuid[] not null default '{}',           -- what it covers; all three empty: everything
    tags       text[] not null default '{}',           -- nodes with one of these tags
    teams      uuid[] not null default '{}',           -- nodes of these teams
    starts_at  timestamptz not null,                   -- from when
    ends_at    timestamptz not null,                   -- until when
    repeats    text not null default '' check (repeats in ('', 'daily', 'weekly')), -- the same window again
    created_by text not null,                          -- who
    created_at timestamptz not null default now(),     -- when it was made
    ended_at   timestamptz,                            -- ended by hand before its time
    version    integer not null default 1,             -- counts human edits, for optimistic locking
    check (ends_at > starts_at)
);
create index on silence (ends_at) where ended_at is null;

create table notification (
    id           uuid primary key,                     -- one message of one incident to one channel; also the receiver's idempotency key
    seq          bigint generated always as identity,  -- order in which they were decided: a channel hears of an incident in this order
    incident_id  uuid references incident on delete cascade, -- about what; null: a test
    channel_id   uuid not null references channel,     -- to whom
    rule_id      uuid,                                 -- by which rule; null: a test
    event        text not null check (event in ('trigger', 'update', 'acknowledge', 'remind', 'resolve', 'test')), -- what it says
    loud         boolean not null default true,        -- people are to notice; else it only edits what was said before
    content      jsonb not null default '{}',          -- what it says, as it was decided: alerts.message reads it
    status       text not null default 'pending' check (status in ('pending', 'delivered', 'failed', 'silenced', 'superseded')), -- failed: given up after the last try
    silence_id   uuid,                                 -- the silence that kept it back; looked at again when that ends
    created_at   timestamptz not null default now(),   -- when it was decided
    next_try_at  timestamptz,                          -- when it is sent (again); null: ended
    held_until   timestamptz,                          -- somebody is sending it; after this whoever did is taken for dead
    attempts     smallint not null default 0,          -- how often it was tried; with held_until the token of an attempt
    error        text not null default '',             -- what the last try was told and what to do, redacted
    answer       text not null default '',             -- what the receiver said when it took it
    ended_at     timestamptz,                          -- when it was delivered, given up or superseded
    remind_at    timestamptz,                          -- when it is told again, unless somebody acknowledges before; null: not
    reference    jsonb                                 -- what the receiver gave back, to edit the message later (Slack: channel and ts)
);
create index on notification (next_try_at) where next_try_at is not null;
create index on notification (remind_at) where remind_at is not null;
create index on notification (incident_id, channel_id, seq);
create index on notification (channel_id, seq desc);
create index on notification (created_at desc);
create index on notification (silence_id) where status = 'silenced';
