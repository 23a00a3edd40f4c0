-- Column edges that the SQL itself tells (provenance 'sql'): found in the background, once for each text of a job.

create table sql_read (
    alias_id uuid primary key references alias on delete cascade, -- the job whose SQL was read
    hash     bytea not null,                           -- of the sql facet that was read; another one is read anew
    read_at  timestamptz not null default now(),       -- when
    found    integer not null default 0                -- how many column edges it told
);
create index alias_facet_sql on alias_facet (alias_id) where name = 'sql';
