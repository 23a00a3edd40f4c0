/* The list beside the blast radius: grouped by hop, sortable inside each, drawn from compact rows. */
(() => {
  "use strict";
  const dlv = (window.dlv = window.dlv || {});
  window.dash_clientside = window.dash_clientside || {};
  const clientside = (window.dash_clientside.dlv = window.dash_clientside.dlv || {});
  const ROW = ["id", "hop", "name", "kind", "namespace", "system", "mark", "owner", "sla", "minutes", "criticality", "health", "role", "tags", "what", "type", "parent_name"];
  const RANK = { failed: 0, late: 1, warn: 2, unknown: 4, ok: 5 };
  const ROLE = { root: "Root cause", symptom: "Symptom", at_risk: "At risk" };
  const COLUMNS = [
    ["name", "Node", (r) => r.name.toLowerCase()],
    ["owner", "Owner", (r) => (r.owner || "\uffff").toLowerCase()],
    ["sla", "SLA", (r) => r.minutes ?? Infinity],
    ["criticality", "Critical", (r) => r.criticality ?? 9],
    ["health", "Health", (r) => (r.role === "root" ? -1 : r.role === "at_risk" && RANK[r.health] > 2 ? 3 : RANK[r.health])],
  ];
  let found = null;
  let rows = [];
  let sort = ["health", 1];

  const el = (tag, props = {}, ...kids) => {
    const e = document.createElement(tag);
    for (const [k, v] of Object.entries(props)) {
      if (v === null || v === undefined) continue;
      if (k === "class") e.className = v;
      else if (k === "style") e.style.cssText = v;
      else e.setAttribute(k, v);
    }
    e.append(...kids.filter((k) => k !== null && k !== undefined));
    return e;
  };
  const glyph = (s) => el("span", { class: "glyph", style: `--i:url(/assets/icons/st-${s}.svg)`, "aria-hidden": "true" });
  const many = (n, one) => `${n.toLocaleString("en")} ${n === 1 ? one : `${one}s`}`;

  clientside.impact_list = (first, next) => {
    const none = window.dash_clientside.no_update;
    const host = document.getElementById("impact-list");
    if (!host) return none;
    const by = window.dash_clientside.callback_context.triggered_id;
    if (by === "impact-rows" && next && found && next.node === found.node) {
      rows = rows.concat(next.rows.map(read));
      found.next = next.next;
      found.cut = next.cut;
    } else {
      found = first;
      rows = first ? first.rows.map(read) : [];
    }
    if (!found) {
      host.replaceChildren();
      return none;
    }
    dlv.deepest = found.every.hop.at(-1)?.[0] || 1;
    paint(host);
    hops();
    return { rows: rows.length, total: found.total };
  };

  const read = (list) => Object.fromEntries(ROW.map((k, i) => [k, list[i]]));

  /** The exact hops of the list into the picture. */
  function hops() {
    const c = dlv.canvases?.get("impact");
    if (!c) return;
    for (const r of rows) {
      const d = c.rows.get(r.id);
      if (d) d.hop = r.hop;
    }
    c.paint();
  }
  dlv.impactHops = hops;

  function paint(host) {
    const [by, way] = sort;
    const key = COLUMNS.find((c) => c[0] === by)[2];
    const order = (a, b) => {
      const [x, y] = [key(a), key(b)];
      return x < y ? -way : x > y ? way : a.name.localeCompare(b.name);
    };
    const groups = new Map();
    for (const r of rows) (groups.get(r.hop) || groups.set(r.hop, []).get(r.hop)).push(r);
    const counts = new Map(found.hop.map(([hop, n]) => [hop, n]));
    const body = el("tbody");
    for (const hop of [...groups.keys()].sort((a, b) => a - b)) {
      const some = groups.get(hop).sort(order);
      const n = counts.get(hop) ?? some.length;
      const said = some.length < n ? `${many(n, "node")}, ${some.length.toLocaleString("en")} listed` : many(n, "node");
      body.append(el("tr", { class: "hop" }, el("td", { colspan: COLUMNS.length }, el("i", { class: `hop-${Math.min(hop, 5)}` }), `Hop ${hop} · ${said}`)));
      for (const r of some) body.append(line(r));
    }
    const heads = COLUMNS.map(([k, label]) =>
      el("th", { scope: "col", "aria-sort": k === by ? (way > 0 ? "ascending" : "descending") : "none" }, el("button", { "data-sort": k }, label)),
    );
    const parts = [summary()];
    if (rows.length) parts.push(el("table", { class: "impact-table" }, el("thead", {}, el("tr", {}, ...heads)), body));
    else parts.push(nothing());
    if (found.next) {
      parts.push(
        el("div", { class: "more-row" },
          el("button", { class: "btn small", "data-next": found.next }, "List 200 more"),
          `${rows.length.toLocaleString("en")} of ${found.total.toLocaleString("en")} listed, nearest first. Counts are of all.`),
      );
    }
    host.replaceChildren(...parts);
  }

  function nothing() {
    const said = found.filtered ? "Nothing that is reached matches the filter." : `Nothing lies ${found.direction} of this node.`;
    return el("div", { class: "empty" }, el("h2", {}, found.filtered ? "No match" : "No impact"), el("p", {}, said));
  }

  function summary() {
    const far = found.hop.at(-1)?.[0] || 0;
    const of = found.filtered ? ` of ${found.every.total.toLocaleString("en")}` : "";
    const total = el("div", { class: "total" },
      el("b", {}, found.total.toLocaleString("en")),
      el("span", {}, `${found.total === 1 ? "node" : "nodes"}${of} ${found.direction}`),
      far ? el("span", { class: "muted" }, `as far as ${many(far, "hop")}`) : null);
    const tally = (name, label, list) =>
      el("div", {}, el("h3", {}, label), ...list.slice(0, 5).map(([key, n, said]) => {
        const hop = name === "hop";
        return el("button", { class: "tally", disabled: hop ? "" : null, "data-tally": hop ? null : `${name}:${key}`, title: `${hop ? "Hop " : ""}${said}: ${n.toLocaleString("en")}` },
          hop ? el("i", { class: `hop-${Math.min(key, 5)}` }) : null,
          el("span", { class: "w" }, hop ? `Hop ${key}` : String(said)),
          el("b", {}, n.toLocaleString("en")));
      }), list.length > 5 ? el("span", { class: "muted" }, `and ${list.length - 5} more`) : null);
    return el("div", { class: "sum" }, total,
      found.total ? el("div", { class: "cuts" }, tally("hop", "By hop", found.hop), tally("kind", "By kind", found.kind), tally("system", "By system", found.system), tally("owner", "By team", found.owner)) : null);
  }

  function line(r) {
    const state = r.role || r.health;
    const [own, within] = dlv.names({ ...r, kind: r.what, names: null });
    const word = ROLE[r.role] || dlv.WORD[r.health];
    const mark = el("span", { class: `ic sys ${r.system}`, style: `--i:url(/assets/icons/${r.mark}.svg);width:18px;height:18px`, "aria-hidden": "true" });
    const name = el("button", { class: "node", "data-open": r.id, title: `${r.name} · ${r.namespace}` }, mark, el("span", {}, el("b", {}, own), el("small", {}, `${r.kind} · ${within}`)));
    return el("tr", { "data-row": r.id },
      el("td", {}, name), el("td", {}, r.owner || "—"), el("td", {}, r.sla), el("td", {}, String(r.criticality ?? "—")),
      el("td", {}, el("span", { class: `st c-${state}` }, glyph(state), word)));
  }

  document.addEventListener("click", (e) => {
    const t = e.target;
    const by = t.closest?.("[data-sort]")?.dataset.sort;
    if (by) {
      sort = [by, sort[0] === by ? -sort[1] : 1];
      paint(document.getElementById("impact-list"));
      document.querySelector(`[data-sort="${by}"]`)?.focus();
      return;
    }
    const next = t.closest?.("[data-next]");
    if (next) {
      next.disabled = true;
      dlv.set("impact-next", { data: next.dataset.next });
      return;
    }
    const tally = t.closest?.("[data-tally]");
    if (tally) {
      const [name, ...v] = tally.dataset.tally.split(":");
      const had = dlv.params()[name] || [];
      const value = v.join(":");
      dlv.change("impact", { [name]: had.includes(value) ? had.filter((x) => x !== value) : [...had, value] });
      dlv.filterShown?.("impact");
    }
  });

  // a row that is pointed at stands out on the picture
  let at = null;
  document.addEventListener("mouseover", (e) => {
    const id = e.target.closest?.("[data-row]")?.dataset.row || null;
    if (id === at) return;
    at = id;
    const c = dlv.canvases?.get("impact");
    if (!c || c.cy.destroyed()) return;
    c.focus = id && c.rows.has(id) ? id : null;
    c.paint();
  });
})();
