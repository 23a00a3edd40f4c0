-- An incident about a producer can be silenced as any other.
alter table silence add column producers bigint[] not null default '{}'; -- producers that nobody is told of, however long nothing comes of them
