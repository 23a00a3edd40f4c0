-- Every event moves "last seen" of its aliases, node rows, edges and schemas. With room on their pages such an update
-- stays on its page and leaves the indexes alone (node has ten, two of them GIN); without it each one wrote to all.
alter table alias set (fillfactor = 70);
alter table node set (fillfactor = 50);
alter table edge set (fillfactor = 70);
alter table edge_interval set (fillfactor = 70);
alter table alias_facet set (fillfactor = 70);
alter table schema_version set (fillfactor = 70);
alter table health_check set (fillfactor = 70);
alter table check_state set (fillfactor = 50);
