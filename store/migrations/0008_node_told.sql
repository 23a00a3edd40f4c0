-- What people are told of a node beside its row stood in its aliases and their fields: two more looks for each of two
-- hundred nodes. The row is built from just these (store.materialise), and keeps them now.
alter table node
    add column aliases    jsonb not null default '[]', -- [{id, environment, namespace, name}] of its aliases, by id
    add column unresolved text,                        -- why their names could not be resolved, and what was tried
    add column sources    jsonb not null default '{}'; -- field → who said what holds of it: manual, file, pattern or event

update node n set
    aliases = a.aliases,
    unresolved = a.unresolved,
    sources = coalesce(f.sources, '{}')
from (select node_id,
             jsonb_agg(jsonb_build_object('id', id, 'environment', environment, 'namespace', namespace, 'name', name)
                       order by id) as aliases,
             string_agg(unresolved, '; ' order by id) as unresolved
        from alias group by node_id) a
left join (select s.node_id, jsonb_object_agg(s.field, s.source) as sources
             from (select distinct on (al.node_id, af.field) al.node_id, af.field, af.source
                     from alias al join alias_field af on af.alias_id = al.id
                    order by al.node_id, af.field, array_position(array['manual','file','pattern','event'], af.source)) s
            group by s.node_id) f on f.node_id = a.node_id
where n.id = a.node_id;
