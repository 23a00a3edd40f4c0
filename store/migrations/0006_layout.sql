-- The graph's lines are laid out anew: one mark makes the projector look at the graph, which it finds to be none of this
-- layout and rebuilds. Where nothing was ever projected there is no node to mark.
insert into graph_dirty (kind, key, version)
select 'node', id, nextval('graph_version_seq') from node limit 1
on conflict (kind, key) do nothing;
