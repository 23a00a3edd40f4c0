/* The wall: asks for one compact list, draws it by key so that only what changed is touched, and says how old it is.
   An unchanged answer is 304. Where DLV does not answer, or does not look, what is shown is marked as old and never stays
   green. */
(() => {
  "use strict";
  const dlv = (window.dlv = window.dlv || {});
  window.dash_clientside = window.dash_clientside || {};
  const clientside = (window.dash_clientside.dlv = window.dash_clientside.dlv || {});

  const EVERY = 5000; // ms between two polls
  const PATIENCE = 20000; // ms until a poll that is not answered counts as failed
  const OLD = 20000; // ms after which the age is a warning
  const ROW = ["id", "name", "health", "role", "since", "kind", "place", "team", "pipeline", "bars", "marks", "reason", "silence"];
  const STATES = ["ok", "warn", "late", "failed", "unknown", "gap"];
  const WORDS = ["Healthy", "Warning", "Late", "Failed", "Unknown", "DLV did not look"];
  const ROLES = [null, "root", "symptom", "at_risk"];
  const ROLE = { root: "Root cause", symptom: "Symptom", at_risk: "At risk" };
  const HIGH = [5, 8, 10, 12, 2, 12]; // a bar's height by state: what is bad stands out without its colour, too
  const BLOCK = 240; // tiles of a group drawn at once
  const FOLD = 150; // tiles on the wall from which healthy ones are folded

  let host = null;
  let shown = null; // the last answer
  let etag = null;
  let asked = ""; // the query that the answer is to
  let asOf = 0; // ms: when DLV last looked at what is shown
  let began = 0; // ms: when the poll that is under way began; 0: none
  let last = 0; // ms: when the last poll began
  let trouble = null; // {since, text, out}: why there is no answer
  const open = new Map(); // group key → {fine: shown or not, limit}
  const tiles = new Map(); // node id → element
  const groups = new Map(); // group key → element
  let kiosk = null;

  // ---------------------------------------------------------------- small parts

  const el = (tag, props = {}, ...kids) => {
    const e = document.createElement(tag);
    for (const [k, v] of Object.entries(props)) {
      if (v === null || v === undefined) continue;
      if (k === "class") e.className = v;
      else if (k === "style") e.style.cssText = v;
      else e.setAttribute(k, v);
    }
    e.append(...kids.filter((k) => k !== null && k !== undefined && k !== ""));
    return e;
  };
  const glyph = (s) => el("span", { class: "glyph", style: `--i:url(/assets/icons/st-${s}.svg)`, "aria-hidden": "true" });
  const icon = (name, cls = "ic") => el("span", { class: cls, style: `--i:url(/assets/icons/${name}.svg)`, "aria-hidden": "true" });
  const many = (n, one, more) => `${n.toLocaleString("en")} ${n === 1 ? one : more || `${one}s`}`;
  const $ = (id) => document.getElementById(id);
  const clock = (ms) => new Date(ms).toLocaleTimeString("en-GB");
  const text = (e, said) => {
    if (e && e.textContent !== said) e.textContent = said;
  };
  /** '14 min', '3 h', '2 days'. */
  const ago = (ms) => {
    const s = Math.max(0, (Date.now() - ms) / 1000);
    if (s < 5400) return `${Math.max(1, Math.round(s / 60))} min`;
    return s < 129600 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} days`;
  };
  const read = (list) => Object.fromEntries(ROW.map((k, i) => [k, list[i]]));
  /** A UUID from the 22 characters of its bytes. */
  const long = (id) => {
    const hex = [...atob(id.replace(/-/g, "+").replace(/_/g, "/"))].map((c) => c.charCodeAt(0).toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  };
  const param = (name) => new URLSearchParams(location.search).get(name) || "";

  /** The bars as an SVG, one path a state; the same history is the same text. */
  const drawn = new Map();
  function bars(packed) {
    let svg = drawn.get(packed);
    if (svg) return svg;
    const d = STATES.map(() => "");
    hours(packed).forEach((s, i) => {
      d[s] += `M${i * 4} ${12 - HIGH[s]}h3v${HIGH[s]}h-3z`;
    });
    svg = `<svg viewBox="0 0 95 12" preserveAspectRatio="none" aria-hidden="true">${d
      .map((path, s) => (path ? `<path class="bar-${STATES[s]}" d="${path}"/>` : ""))
      .join("")}</svg>`;
    if (drawn.size > 20000) drawn.clear();
    drawn.set(packed, svg);
    return svg;
  }
  function hours(packed) {
    const whole = packed.padStart(12, packed[0]);
    return [...whole].flatMap((c) => [Math.floor(parseInt(c, 36) / 6), parseInt(c, 36) % 6]);
  }
  /** 'failed 2 h, late 1 h' of the last day. */
  function told(packed) {
    const count = new Array(6).fill(0);
    for (const s of hours(packed)) count[s] += 1;
    const said = [3, 2, 1, 5].filter((s) => count[s]).map((s) => `${WORDS[s].toLowerCase()} ${count[s]} h`);
    return said.length ? said.join(", ") : count[4] === 24 ? "nothing known" : "healthy";
  }

  // ---------------------------------------------------------------- asking

  /** What the server cuts down by; the rest is done here, at once. Where tiles had to be left out it does all. */
  function query() {
    const url = new URLSearchParams(location.search);
    const out = new URLSearchParams();
    const names = ["environment"].concat(shown?.cut ? ["system", "team", "type", "q"] : []);
    for (const name of names) for (const v of url.getAll(name)) if (v) out.append(name, v);
    if (url.get("unknown")) out.append("unknown", "true");
    return out.toString();
  }

  async function poll() {
    const mine = query();
    began = last = Date.now();
    const giveUp = new AbortController();
    const timer = setTimeout(() => giveUp.abort(), PATIENCE);
    try {
      const headers = etag && asked === mine ? { "If-None-Match": etag } : {};
      const answer = await fetch(`/api/v1/wall${mine ? `?${mine}` : ""}`, { headers, cache: "no-store", redirect: "error", signal: giveUp.signal });
      if (answer.status === 304) settled(answer);
      else if (answer.ok) {
        const said = await answer.json();
        if (mine !== query() && shown) return; // the question changed meanwhile
        shown = said;
        asked = mine;
        etag = answer.headers.get("ETag");
        settled(answer);
        draw();
        if (window.dlv.set && !document.hidden) dlv.set("beat", { data: Date.now() });
      } else failed(answer.status === 401 ? "You are signed out." : await reason(answer), answer.status === 401);
    } catch {
      failed("DLV does not answer");
    } finally {
      clearTimeout(timer);
      began = 0;
      ages();
    }
  }
  const reason = async (answer) => {
    try {
      return (await answer.json()).error.message;
    } catch {
      return `DLV answers with an error (${answer.status})`;
    }
  };
  function settled(answer) {
    asOf = Date.now() - 1000 * Number(answer.headers.get("Age") || 0);
    trouble = null;
  }
  function failed(said, out = false) {
    trouble = { since: trouble?.since || last, text: said, out };
  }

  /** DLV answers and looks at nothing: what it knew of is old, however new the answer is. */
  const blind = () => Boolean(shown?.down.some((d) => d.blind));

  /** How old it is, every second; a warning once it is too old, and the tiles look it. */
  function ages() {
    if (!host?.isConnected) return;
    const age = $("wall-age");
    const seconds = Math.round((Date.now() - asOf) / 1000);
    const old = Boolean(trouble) || (shown && Date.now() - asOf > OLD);
    host.classList.toggle("stale", Boolean(shown && old) || blind());
    if (!shown) text(age, trouble ? "" : began && Date.now() - began > 1500 ? "Asking DLV…" : "");
    else if (old) text(age, `As of ${clock(asOf)}`);
    else text(age, seconds < 2 ? "Now" : `As of ${seconds} s ago`);
    age.className = `wall-age${old ? " old" : ""}`;
    banner();
  }

  function banner() {
    const lines = [];
    if (trouble) {
      const what = trouble.out ? "You are signed out" : trouble.text.replace(/\.$/, "");
      lines.push([`${what} since ${clock(trouble.since)}.`, shown ? `The wall shows ${clock(asOf)}; nothing on it is news.` : "Nothing can be shown.", trouble.out]);
    } else if (shown && Date.now() - asOf > OLD) lines.push([`DLV has not answered since ${clock(asOf)}.`, "Nothing on the wall is news.", false]);
    for (const d of shown?.down || []) lines.push([d.since ? `${d.name} is down since ${when(d.since)}.` : d.part === "alert rules" ? `${d.name}.` : `${d.name} does not run.`, `${d.means[0].toUpperCase()}${d.means.slice(1)}.`, false]);
    if (shown?.cut) lines.push([`${shown.rows.length.toLocaleString("en")} of ${shown.total.toLocaleString("en")} tiles are shown, the worst.`, "Filter to see others.", false]);
    const place = $("wall-down");
    const key = JSON.stringify(lines);
    if (place.dlvKey === key) return;
    place.dlvKey = key;
    place.replaceChildren(
      ...lines.map(([head, more, out]) =>
        el("div", { class: "down" }, glyph("warn"), el("b", {}, head), el("span", {}, more), out ? el("a", { href: "/sign-in?next=" + encodeURIComponent(location.pathname + location.search), class: "link" }, "Sign in again") : null),
      ),
    );
  }
  const when = (iso) => {
    const at = Date.parse(iso);
    return Date.now() - at < 20 * 3600e3 ? clock(at) : `${new Date(at).toLocaleDateString("en-GB", { day: "numeric", month: "short" })}, ${clock(at)}`;
  };

  // ---------------------------------------------------------------- drawing

  function draw() {
    if (!host?.isConnected || !shown) return;
    const t0 = performance.now();
    const kept = document.activeElement?.closest?.("#wall") ? document.activeElement : null;
    const c = shown.counts;
    $("wall-empty").hidden = c.total > 0;
    host.classList.toggle("nothing", !c.total);
    text($("wall-title"), sentence(c));
    text($("wall-below"), below(c));
    estate(c);
    broken();
    const rows = shown.rows.map(read);
    for (const r of rows) dress(r);
    paint(rows);
    pressed();
    ages();
    if (kept && kept.isConnected && document.activeElement !== kept) kept.focus({ preventScroll: true });
    if (kiosk) kiosk.fit();
    host.dataset.drawn = String(rows.length);
    dlv.wallTook = performance.now() - t0;
  }

  function sentence(c) {
    const risk = c.at_risk ? `, ${many(c.at_risk, "node")} at risk` : "";
    if (!c.failed && !c.late) return (c.incidents.open ? many(c.incidents.open, "open incident") : blind() ? "What is failed or late now is not known" : "Nothing is failed or late") + risk;
    if (c.roots === null) return `${c.failed} failed, ${c.late} late; root causes are not known while the graph is away`;
    let said = many(c.roots, "root cause");
    if (c.symptoms) said += ` and ${many(c.symptoms, "symptom")}`;
    return said + (risk || ", nothing else at risk");
  }
  function below(c) {
    const said = [`${many(c.total, "node")} on the map`];
    if (c.running) said.push(`${c.running.toLocaleString("en")} running`);
    const env = new URLSearchParams(location.search).getAll("environment");
    if (env.length) said.push(`in ${env.join(", ")}`);
    return said.join(" · ");
  }
  function estate(c) {
    const order = ["failed", "late", "warn", "unknown", "ok"].filter((s) => c[s]);
    const key = order.map((s) => s + c[s]).join();
    const place = $("wall-estate");
    if (place.dlvKey === key) return;
    place.dlvKey = key;
    place.replaceChildren(
      el("div", { class: "health-bar", "aria-hidden": "true" }, ...order.map((s) => el("span", { class: `c-${s}`, style: `flex-grow:${c[s]}` }))),
      el("ul", { class: "health-key" }, ...order.map((s) => el("li", { class: `st c-${s}` }, glyph(s), el("b", {}, c[s].toLocaleString("en")), WORDS[STATES.indexOf(s)]))),
    );
  }

  /** Open incidents, then root causes that none holds yet. Drawn whole: they are few. */
  function broken() {
    const place = $("wall-broken");
    const most = kiosk ? 4 : 6;
    const all = [...shown.incidents, ...shown.roots];
    const open_ = shown.counts.incidents.open;
    const total = open_ + shown.roots.length + (shown.roots.at(-1)?.more || 0);
    const key = JSON.stringify([all.slice(0, most), total, Math.floor(Date.now() / 60000)]);
    if (place.dlvKey === key) return;
    const focus = place.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    place.dlvKey = key;
    const parts = all.slice(0, most).map(card);
    if (total > parts.length)
      parts.push(el("a", { href: open_ ? "/incidents" : "/catalog?health=root", "data-go": "", class: "more-broken link" }, `and ${many(total - parts.length, "more", "more")}`));
    place.replaceChildren(...parts);
    place.hidden = !parts.length;
    if (focus) place.querySelector(`[data-key="${focus}"]`)?.focus({ preventScroll: true });
  }

  function card(i) {
    const root = i.incident ? "root" : shown.counts.roots === null ? i.health : "root";
    const state = i.health === "failed" || i.health === "late" ? i.health : "failed";
    const way = i.incident ? `/incidents/${i.incident}` : `/impact?node=${i.node}`;
    const members = [i.failed && `${i.failed} failed`, i.late && `${i.late} late`, i.recovered && `${i.recovered} recovered`].filter(Boolean).join(", ");
    const log = i.log && /^https?:\/\//.test(i.log) ? el("a", { href: i.log, target: "_blank", rel: "noopener noreferrer", class: "btn small" }, "Log", icon("external-link")) : null;
    const named = i.node
      ? el("button", { class: "name trunc", title: i.name, "data-open": i.node, "data-key": `o${i.incident || i.node}` }, i.name)
      : el("span", { class: "name trunc", title: i.name }, i.name);
    return el("article", { class: `broken c-${state}${i.incident ? ` sev-${i.severity}` : ""}` },
      el("div", { class: "line" },
        i.incident
          ? el("span", { class: `sev s${i.severity}`, title: `Severity ${i.severity} of 4, 1 is the worst` }, `SEV ${i.severity}`)
          : el("span", { class: root === "root" ? "tag solid c-root" : `tag c-${root}` }, glyph(root), ROLE[root] || WORDS[STATES.indexOf(root)]),
        i.mark ? icon(i.mark, `ic sys ${i.system}`) : null,
        named,
        el("span", { class: "muted trunc what" }, [i.what, i.namespace].filter(Boolean).join(" · ")),
        el("span", { class: "grow" }),
        el("span", { class: "age", title: i.since ? new Date(i.since).toLocaleString("en-GB") : "" }, i.since ? ago(Date.parse(i.since)) : "")),
      el("div", { class: "mono said", title: i.error || i.title }, i.error || i.title || "No error was sent"),
      el("div", { class: "line facts" },
        el("span", { class: "fact" }, icon("users-group"), i.owner || "Nobody owns it"),
        el("span", { class: "fact" }, icon("topology-star-3"), ...radius(i)),
        members ? el("span", { class: "fact", title: "In this incident now" }, icon("list"), members) : null,
        i.incident ? (i.taken ? el("span", { class: "fact taken" }, icon("user"), `Taken by ${i.taken}`) : el("span", { class: "fact nobody" }, icon("bell"), "Nobody is on it")) : null,
        el("span", { class: "ways-on" }, log,
          el("a", { href: way, "data-go": "", class: `btn small${i.incident ? " primary" : ""}`, "data-key": `w${i.incident || i.node}` }, i.incident ? `INC-${i.number}` : "Blast radius", icon("arrow-right")))));
  }
  function radius(i) {
    if (i.total === null || i.total === undefined) return ["Blast radius not known"];
    if (!i.total) return ["Nothing lies downstream"];
    return [el("b", {}, many(i.total, "node")), ` downstream${i.hops ? `, ${many(i.hops, "hop")}` : ""}${i.teams ? `, ${many(i.teams, "team")}` : ""}`];
  }

  /** A row with what it points to. */
  function dress(r) {
    const k = shown.kinds[r.kind];
    r.state = STATES[r.health];
    r.standing = ROLES[r.role];
    [r.label, r.systemLabel, r.what, r.system, r.type, r.mark] = k;
    r.ns = shown.places[r.place][0];
    r.owner = shown.teams[r.team];
    r.pipe = shown.pipelines[r.pipeline];
    const [own, within] = dlv.names({ system: r.system, kind: r.what, type: r.type, name: r.name, namespace: r.ns, parent_name: r.pipe?.[1] });
    r.own = own;
    const at = r.ns.indexOf("://");
    const short = at < 0 ? r.ns : r.ns.slice(at + 3);
    r.within = within && within !== short ? `${within} · ${short}` : short;
    r.fine = (r.state === "ok" || r.state === "unknown") && !r.standing;
    r.running = r.marks & 1;
    r.muted = r.marks & 2;
    r.paused = r.marks & 4;
    r.quiet = r.silence === undefined ? "" : silenced(...shown.silences[r.silence]);
  }

  /** 'Silenced until 14:30: migration of the warehouse' */
  function silenced(kind, until, why) {
    const at = new Date(until);
    const today = at.toDateString() === new Date().toDateString();
    const day = today ? "" : `${at.toLocaleDateString("en-GB", { day: "numeric", month: "short" })}, `;
    return `${kind === "maintenance" ? "Maintenance" : "Silenced"} until ${day}${at.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })}: ${why}`;
  }

  function wanted(r, ask) {
    if (ask.type && r.type !== ask.type) return false;
    if (ask.system && r.system !== ask.system) return false;
    if (ask.team && r.owner !== ask.team) return false;
    if (ask.shown === "bad" && r.fine) return false;
    if (ask.shown === "running" && !r.running) return false;
    if (ask.shown === "at_risk" && r.standing !== "at_risk") return false;
    if ((ask.shown === "failed" || ask.shown === "late") && r.state !== ask.shown) return false;
    return !ask.words.length || ask.words.every((w) => r.words.includes(w));
  }

  function keyOf(r, by) {
    if (by === "team") return r.owner || "";
    if (by === "pipeline") return r.pipe ? r.pipe[0] : "";
    return r.systemLabel;
  }
  const called = (r, by) => (by === "team" ? r.owner || "Nobody's" : by === "pipeline" ? r.pipe?.[1] || "In no pipeline" : r.systemLabel || "Unknown system");

  function paint(rows) {
    const ask = { type: param("type"), system: param("system"), team: param("team"), shown: param("shown"), words: param("q").toLowerCase().split(/\s+/).filter(Boolean) };
    if (ask.words.length) for (const r of rows) r.words = `${r.ns}/${r.name} ${r.owner} ${r.pipe?.[1] || ""} ${r.systemLabel}`.toLowerCase();
    const by = param("group") || "system";
    const some = rows.filter((r) => wanted(r, ask));
    const sorted = new Map();
    for (const r of some) {
      const key = `${by}:${keyOf(r, by)}`;
      const g = sorted.get(key) || sorted.set(key, { key, label: called(r, by), mark: by === "system" ? r.mark : null, system: r.system, bad: [], fine: [] }).get(key);
      (r.fine ? g.fine : g.bad).push(r);
    }
    const list = [...sorted.values()];
    // groups with something wrong come in the order of the worst in them, the others by name
    const calm = list.filter((g) => !g.bad.length).sort((a, b) => a.label.localeCompare(b.label));
    const order = [...list.filter((g) => g.bad.length), ...calm];
    const fold = kiosk || some.length > FOLD;
    const place = $("wall-tiles");
    const used = new Set();
    let first = null;
    let before = null;
    for (const g of order) {
      const e = group(g, fold, ask, used);
      first ||= e;
      if ((before ? before.nextElementSibling : place.firstElementChild) !== e) place.insertBefore(e, before ? before.nextElementSibling : place.firstElementChild);
      before = e;
    }
    while (before ? before.nextElementSibling : place.firstElementChild) (before ? before.nextElementSibling : place.firstElementChild).remove();
    for (const key of groups.keys()) if (!sorted.has(key)) groups.delete(key);
    for (const [id, e] of tiles) if (!used.has(id)) { e.remove(); tiles.delete(id); }
    if (!some.length && shown.counts.total) place.append(none(rows.length));
    unheard(place);
    rove();
  }

  function none(n) {
    return el("div", { class: "empty" }, icon("filter"), el("h2", {}, n ? "No tile matches" : "Nothing to watch yet"), el("p", {}, n ? "Take a filter away, or search for a part of the name." : "No node has run or been checked yet. Nodes of which nothing is known can be shown below."));
  }
  function unheard(place) {
    const on = Boolean(param("unknown"));
    if (!shown.unheard && !on) return;
    if (kiosk) return;
    place.append(el("p", { class: "unheard" }, el("button", { class: "btn small", "data-wall-set": `unknown:${on ? "" : "1"}` }, on ? "Hide nodes of which nothing is known" : `Show ${many(shown.unheard, "node")} of which nothing is known`)));
  }

  function group(g, fold, ask, used) {
    let e = groups.get(g.key);
    if (!e) {
      e = el("section", { class: "wall-group" }, el("h2", {}), el("div", { class: "grid-tiles" }), el("div", { class: "wall-more" }));
      groups.set(g.key, e);
    }
    const how = open.get(g.key) || {};
    const folded = fold && g.fine.length > (g.bad.length && !kiosk ? 6 : 0) && !how.fine && !ask.words.length;
    const list = folded ? g.bad : [...g.bad, ...g.fine];
    const limit = how.limit || BLOCK;
    head(e, g);
    const place = e.children[1];
    let before = null;
    for (const r of list.slice(0, limit)) {
      const t = tile(r);
      used.add(r.id);
      const at = before ? before.nextElementSibling : place.firstElementChild;
      if (at !== t) place.insertBefore(t, at);
      before = t;
    }
    while (before ? before.nextElementSibling : place.firstElementChild) (before ? before.nextElementSibling : place.firstElementChild).remove();
    more(e.children[2], g, folded, fold && how.fine, list.length - limit);
    e.classList.toggle("calm", !g.bad.length);
    return e;
  }

  function head(e, g) {
    const count = new Map();
    for (const r of [...g.bad, ...g.fine]) {
      const s = r.standing === "root" || r.standing === "symptom" ? r.standing : r.standing === "at_risk" && r.state === "ok" ? "at_risk" : r.state;
      count.set(s, (count.get(s) || 0) + 1);
    }
    const order = ["root", "symptom", "failed", "late", "warn", "at_risk", "unknown", "ok"].filter((s) => count.get(s));
    const key = JSON.stringify([g.label, order.map((s) => [s, count.get(s)])]);
    const h = e.firstElementChild;
    if (h.dlvKey === key) return;
    h.dlvKey = key;
    h.replaceChildren(
      ...(g.mark ? [icon(g.mark, `ic sys ${g.system}`)] : []),
      el("span", { class: "trunc" }, g.label),
      ...order.map((s) => el("span", { class: `st c-${s}` }, glyph(s), String(count.get(s).toLocaleString("en")), el("span", { class: "word" }, (ROLE[s] || WORDS[STATES.indexOf(s)]).toLowerCase() + (count.get(s) > 1 && (s === "root" || s === "symptom") ? "s" : "")))),
    );
  }

  function more(place, g, folded, unfolded, rest) {
    const key = `${folded}${unfolded}${folded ? g.fine.length : 0}${Math.max(0, rest)}`;
    if (place.dlvKey === key) return;
    place.dlvKey = key;
    const parts = [];
    const quiet = many(g.fine.length, g.fine.every((r) => r.state === "ok") ? "healthy" : "healthy or unknown", g.fine.every((r) => r.state === "ok") ? "healthy" : "healthy or unknown");
    if (rest > 0) parts.push(el("button", { class: "btn small", "data-wall-more": g.key }, `Show ${Math.min(rest, BLOCK).toLocaleString("en")} of ${many(rest, "more", "more")}`));
    if (folded) parts.push(el("button", { class: "fold", "data-wall-fold": g.key, "aria-expanded": "false" }, glyph("ok"), quiet, icon("chevron-down")));
    else if (unfolded && g.fine.length) parts.push(el("button", { class: "fold", "data-wall-fold": g.key, "aria-expanded": "true" }, `Fold ${quiet}`));
    place.replaceChildren(...parts);
  }

  const blank = document.createElement("template");
  blank.innerHTML =
    '<button class="tile" data-kind="node" tabindex="-1"><span class="t1"><span class="glyph" aria-hidden="true"></span><b class="trunc"></b><span class="marks"></span></span>' +
    '<span class="t2"></span><span class="t3"><span class="ic sys" aria-hidden="true"></span><span class="trunc"></span></span><span class="bars"></span></button>';

  function tile(r) {
    let e = tiles.get(r.id);
    if (!e) {
      e = blank.content.firstElementChild.cloneNode(true);
      e.dataset.open = long(r.id);
      tiles.set(r.id, e);
    }
    const age = r.since ? ago(r.since * 60000) : "";
    const key = `${r.health}${r.role}${age}|${r.marks}|${r.bars}|${r.kind}|${r.name}|${r.within}|${r.reason || ""}|${r.quiet}`;
    if (e.dlvKey === key) return e;
    e.dlvKey = key;
    const look = r.standing && !(r.standing === "at_risk" && r.state !== "ok" && r.state !== "unknown") ? r.standing : r.state;
    e.className = `tile t-${look} c-${look === "root" ? (r.state === "late" ? "late" : "root") : look}`;
    const [t1, t2, t3, b] = e.children;
    t1.children[0].style.setProperty("--i", `url(/assets/icons/st-${look}.svg)`);
    text(t1.children[1], r.own);
    const marks = [r.running && ["player-play", "Running"], r.muted && ["eye-off", "Muted"], r.paused && ["minus", "Paused"], r.quiet && ["bell-off", r.quiet]].filter(Boolean);
    t1.children[2].replaceChildren(...marks.map(([name, said]) => { const m = icon(name); m.title = said; return m; }));
    const word = WORDS[r.health];
    const bad = r.state === "failed" || r.state === "late" || r.state === "warn";
    const state = bad ? `${word}${age ? ` ${age}` : ""}` : word;
    const said = r.standing ? `${ROLE[r.standing]} · ${state.toLowerCase()}` : state;
    text(t2, said);
    t3.children[0].className = `ic sys ${r.system}`;
    t3.children[0].style.setProperty("--i", `url(/assets/icons/${r.mark}.svg)`);
    text(t3.children[1], r.within);
    b.innerHTML = bars(r.bars);
    e.title = `${r.label} ${r.name}\n${r.ns}${r.reason ? `\n${r.reason}` : ""}${r.quiet ? `\n${r.quiet}` : ""}\nLast 24 hours: ${told(r.bars)}`;
    e.setAttribute("aria-label", [`${r.own}, ${r.label} in ${r.within}`, said, ...marks.map((m) => m[1]), r.reason, `last 24 hours: ${told(r.bars)}`].filter(Boolean).join("; "));
    return e;
  }

  // ---------------------------------------------------------------- keys and clicks

  const all = () => [...document.querySelectorAll("#wall-tiles .tile")];
  /** One tile is a stop of the Tab key; arrows go on from there. */
  function rove(to = null) {
    const list = all();
    const now = to || list.find((t) => t.tabIndex === 0) || list[0];
    for (const t of list) if (t !== now && t.tabIndex === 0) t.tabIndex = -1;
    if (now) now.tabIndex = 0;
  }
  function step(from, key) {
    const list = all();
    const i = list.indexOf(from);
    if (key === "Home") return list[0];
    if (key === "End") return list.at(-1);
    if (key === "ArrowRight") return list[i + 1];
    if (key === "ArrowLeft") return list[i - 1];
    // up and down: the nearest tile of the next row, across groups
    const here = from.getBoundingClientRect();
    const down = key === "ArrowDown";
    let row = null;
    let best = null;
    for (let j = down ? i + 1 : i - 1; j >= 0 && j < list.length; j += down ? 1 : -1) {
      const b = list[j].getBoundingClientRect();
      if (Math.abs(b.top - here.top) < 4) continue;
      if (row === null) row = b.top;
      if (Math.abs(b.top - row) > 4) break;
      const far = Math.abs(b.left - here.left);
      if (!best || far < best.far) best = { far, t: list[j] };
    }
    return best?.t;
  }
  document.addEventListener("keydown", (e) => {
    if (!host?.isConnected) return;
    if (kiosk && e.key === "Escape") return void location.assign("/");
    const t = e.target.closest?.("#wall-tiles .tile");
    if (!t || !["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"].includes(e.key) || e.altKey || e.ctrlKey || e.metaKey) return;
    e.preventDefault();
    const to = step(t, e.key);
    if (!to) return;
    rove(to);
    to.focus();
    to.scrollIntoView({ block: "nearest" });
  });
  document.addEventListener("focusin", (e) => {
    const t = e.target.closest?.("#wall-tiles .tile");
    if (t) rove(t);
  });
  document.addEventListener("click", (e) => {
    const go = e.target.closest?.("a[data-go]");
    if (go && !e.metaKey && !e.ctrlKey && !e.shiftKey && e.button === 0) {
      e.preventDefault();
      return dlv.go(go.getAttribute("href"));
    }
    if (!host?.isConnected) return undefined;
    const set = e.target.closest?.("[data-wall-set]");
    if (set) {
      const [name, value] = set.dataset.wallSet.split(":");
      return change({ [name]: (name === "group" && value === "system") || !value ? null : value });
    }
    const fold = e.target.closest?.("[data-wall-fold]")?.dataset.wallFold;
    const next = e.target.closest?.("[data-wall-more]")?.dataset.wallMore;
    const key = fold ?? next;
    if (key !== undefined) {
      const how = open.get(key) || {};
      open.set(key, fold !== undefined ? { ...how, fine: !how.fine } : { ...how, limit: (how.limit || BLOCK) + BLOCK });
      draw();
      document.querySelector(`[data-wall-${fold !== undefined ? "fold" : "more"}="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
    }
    return undefined;
  });
  document.addEventListener("input", (e) => {
    if (e.target.id === "wall-q") change({ q: e.target.value.trim() || null });
  });
  window.addEventListener("popstate", () => host?.isConnected && changed());

  function change(what) {
    dlv.change("wall", what, { quiet: true, replace: true });
    changed();
  }
  function changed() {
    draw();
    if (query() !== asked) poll();
  }
  /** Which buttons are pressed, and what stands in the fields: as the URL says. */
  function pressed() {
    for (const b of host.querySelectorAll(".seg[data-wall-set]")) {
      const [name, value] = b.dataset.wallSet.split(":");
      b.setAttribute("aria-pressed", String((param(name) || (name === "group" ? "system" : "")) === value));
    }
    const q = $("wall-q");
    if (q && document.activeElement !== q && q.value !== param("q")) q.value = param("q");
    const link = $("wall-kiosk");
    if (link) {
      const p = new URLSearchParams(location.search);
      p.set("kiosk", "1");
      link.setAttribute("href", `/wall?${p}`);
    }
    choices("type", [["job", "Jobs"], ["dataset", "Datasets"]], "Jobs and datasets");
    choices("system", shown.kinds.map((k) => [k[3], k[1]]), "All systems");
    choices("team", shown.teams.filter(Boolean).map((t) => [t, t]), "All teams");
  }
  /** A list to choose from, of what the wall holds. */
  function choices(name, given, none_) {
    const tools = $("wall-tools");
    if (!tools?.firstElementChild) return;
    let s = $(`wall-${name}`);
    if (!s) {
      s = el("select", { id: `wall-${name}`, class: "wall-choose", "aria-label": none_ });
      s.addEventListener("change", () => change({ [name]: s.value || null }));
      tools.insertBefore(s, tools.querySelector(".grow"));
    }
    const seen = new Map(given.filter(([v]) => v));
    const now = param(name);
    if (now && !seen.has(now)) seen.set(now, now);
    const list = [...seen].sort((a, b) => a[1].localeCompare(b[1]));
    const key = JSON.stringify(list);
    if (s.dlvKey !== key) {
      s.dlvKey = key;
      s.replaceChildren(el("option", { value: "" }, none_), ...list.map(([v, said]) => el("option", { value: v }, said)));
    }
    s.hidden = list.length < 2 && !now;
    if (s.value !== now) s.value = now;
  }

  // ---------------------------------------------------------------- a screen that nobody touches

  /** Largest type at which all fits; where nothing fits, pages that turn by themselves. */
  class Kiosk {
    constructor() {
      this.page = 0;
      this.turned = Date.now();
      this.moved = 0;
      this.awake();
      document.addEventListener("mousemove", () => { this.moved = Date.now(); document.documentElement.classList.remove("still"); });
      document.addEventListener("visibilitychange", () => this.awake());
      window.addEventListener("resize", () => this.fit());
    }
    async awake() {
      try {
        if (!document.hidden) this.lock = await navigator.wakeLock?.request("screen");
      } catch {
        // a screen that may sleep shows the wall all the same
      }
    }
    fit() {
      const place = $("wall-tiles");
      this.top = place.offsetTop;
      const room = innerHeight - place.getBoundingClientRect().top - 28;
      place.style.height = place.style.overflow = "";
      for (const scale of [1.7, 1.5, 1.3, 1.15, 1]) {
        host.style.setProperty("--k", scale);
        if (place.scrollHeight <= room) break;
      }
      this.pages = [[0, room]];
      if (place.scrollHeight > room) {
        host.style.setProperty("--k", 1.15);
        this.pages = this.cut(place, room);
      }
      this.show();
    }
    /** Where pages begin and end, so that no tile is cut. */
    cut(place, room) {
      const top = place.getBoundingClientRect().top;
      const rows = [...place.querySelectorAll(".tile, .wall-group > h2, .wall-more > *")].map((e) => {
        const b = e.getBoundingClientRect();
        return [b.top - top, b.bottom - top, e.tagName === "H2"];
      }).filter((r) => r[1] > r[0]).sort((a, b) => a[0] - b[0]);
      const pages = [];
      let from = 0;
      let end = 0;
      for (let i = 0; i < rows.length; i++) {
        const [a, b, heading] = rows[i];
        // a heading goes with the first of its tiles
        const needs = heading && rows[i + 1] ? rows[i + 1][1] : b;
        if (needs - from > room && end > from) {
          pages.push([from, end - from]);
          from = a;
        }
        end = Math.max(end, b);
      }
      pages.push([from, end - from]);
      return pages;
    }
    show() {
      const place = $("wall-tiles");
      this.page %= this.pages.length;
      const [from, high] = this.pages[this.page];
      const one = this.pages.length === 1;
      place.style.height = one ? "" : `${high}px`;
      place.style.overflow = one ? "" : "hidden";
      place.scrollTop = one ? 0 : from;
      let dots = $("wall-page");
      if (!dots) {
        dots = el("div", { id: "wall-page", class: "wall-page muted" });
        host.append(dots);
      }
      text(dots, one ? "" : `${this.page + 1} of ${this.pages.length}`);
    }
    tick() {
      // letters that came late or a banner move what is below
      if (Math.abs($("wall-tiles").offsetTop - this.top) > 1) this.fit();
      if (Date.now() - this.moved > 3000) document.documentElement.classList.add("still");
      if (this.pages?.length > 1 && Date.now() - this.turned > 12000) {
        this.turned = Date.now();
        this.page += 1;
        this.show();
      }
    }
  }

  // ---------------------------------------------------------------- life

  clientside.wall_start = () => {
    host = $("wall");
    tiles.clear();
    groups.clear();
    const turned = host?.dataset.wall === "kiosk";
    document.documentElement.toggleAttribute("data-kiosk", turned);
    kiosk = turned ? kiosk || new Kiosk() : null;
    if (shown && asked === query()) draw();
    else { shown = null; etag = null; }
    pollSoon();
    return window.dash_clientside.no_update;
  };
  function pollSoon() {
    if (host?.isConnected && !began && !document.hidden) poll();
  }
  setInterval(() => {
    if (!host?.isConnected) {
      if (document.documentElement.hasAttribute("data-kiosk")) document.documentElement.removeAttribute("data-kiosk");
      return;
    }
    ages();
    kiosk?.tick();
    if (Date.now() - last >= EVERY) pollSoon();
  }, 1000);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && Date.now() - last > 1000) pollSoon();
  });
  dlv.wall = { poll, draw, bars, hours, state: () => ({ asOf, trouble, etag, rows: shown?.rows.length ?? 0, pages: kiosk?.pages }) };
})();
