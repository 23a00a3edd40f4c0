-- Naming rules: who edits on an old version is told; applying them to what is on record is a job of the workers.

alter table naming_rule add column version integer not null default 1; -- counts human edits, for optimistic locking

create table rule_job (
    id         bigint generated always as identity primary key, -- order in which they were asked for; one runs at a time
    asked_at   timestamptz not null default now(),     -- when a person or key asked
    actor      jsonb not null,                         -- who asked: {"kind", "id", "name", "remote_addr"}, for the audit when it is done
    attempts   smallint not null default 0,            -- how often a worker began; a third that dies ends it
    started_at timestamptz,                            -- when the newest attempt began
    done       integer not null default 0,             -- names moved so far, while it runs
    total      integer,                                -- names that have to move; null: not counted yet
    ended_at   timestamptz,                            -- null: waits or runs
    result     jsonb,                                  -- {"moved", "removed", "queued"}; null where it failed
    error      text                                    -- why it failed, in words; null: it did not
);
create unique index rule_job_open on rule_job ((true)) where ended_at is null;
