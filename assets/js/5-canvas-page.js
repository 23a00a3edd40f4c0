/* What the canvas pages do with a gesture: the URL changes, and the page asks again. */
(() => {
  "use strict";
  const dlv = (window.dlv = window.dlv || {});
  window.dash_clientside = window.dash_clientside || {};
  const clientside = (window.dash_clientside.dlv = window.dash_clientside.dlv || {});
  const FILTERS = { health: "Health", system: "System", kind: "Kind", owner: "Owner", tag: "Tag", environment: "Environment" };
  const here = () => document.querySelector("[data-ask]")?.dataset.ask;
  const canvasHere = () => dlv.canvases?.get(here());

  // ---------------------------------------------------------------- steppers and switches follow the URL

  const LIMITS = { up: [0, 20], down: [0, 20], depth: [1, 20] };
  const value = (name) => dlv.params()[name]?.at(-1) ?? "";

  dlv.controls = () => {
    for (const out of document.querySelectorAll("output[data-value]")) {
      out.textContent = value(out.dataset.value) || (out.dataset.value === "depth" ? "All" : "1");
    }
    for (const b of document.querySelectorAll("[data-switch]")) {
      b.setAttribute("aria-pressed", (value(b.dataset.switch) || b.dataset.default) === "1" ? "true" : "false");
    }
    for (const b of document.querySelectorAll("[data-choose]")) {
      const [name, v] = b.dataset.choose.split("=");
      b.setAttribute("aria-pressed", (value(name) || b.dataset.default) === v ? "true" : "false");
    }
  };

  function step(name, by) {
    const [low, high] = LIMITS[name];
    const now = value(name);
    if (name === "depth") {
      const n = now === "" ? (by < 0 ? dlv.deepest || 3 : null) : Number(now);
      const next = n === null ? null : now === "" ? n - 1 : n + by;
      return { depth: next === null || next > (dlv.deepest || high) ? null : Math.max(low, next) };
    }
    return { [name]: Math.max(low, Math.min(high, Number(now === "" ? 1 : now) + by)) };
  }

  // ---------------------------------------------------------------- gestures on the canvas

  const grown = (id, direction) => {
    const sides = direction === "both" ? ["upstream", "downstream"] : [direction];
    const had = dlv.params().grow || [];
    return [...new Set([...had, ...sides.map((s) => `${id}:${s}`)])];
  };

  function fold(c, { id, direction }) {
    const d = c.rows.get(id);
    const via = d[direction === "upstream" ? "via_up" : "via_down"]?.[0] || id;
    dlv.drawer({ kind: "fold", id, via, direction, shown: [...c.rows.keys()] });
  }

  const gestures = (prefix) => (what, detail, c) => {
    if (what === "node") dlv.drawer({ kind: "node", id: detail.id });
    else if (what === "edge" && detail.ref) dlv.drawer({ kind: "edge", id: detail.ref });
    else if (what === "expand" && prefix === "lineage") {
      const d = c.rows.get(detail.id);
      const more = { upstream: d.grow_up, downstream: d.grow_down, both: d.grow_up + d.grow_down }[detail.direction];
      if (more) dlv.change(prefix, { grow: grown(detail.id, detail.direction) });
    } else if (what === "expand") dlv.go(`/lineage?node=${detail.id}`);
    else if (what === "fold") fold(c, detail);
  };
  dlv.on = { lineage: gestures("lineage"), impact: gestures("impact"), paths: gestures("paths") };

  document.addEventListener("click", (e) => {
    const t = e.target;
    const prefix = here();
    const stepper = t.closest?.("[data-step]");
    if (stepper) return dlv.change(prefix, step(...stepper.dataset.step.split(":").map((v, i) => (i ? Number(v) : v))));
    const flip = t.closest?.("[data-switch]");
    if (flip) {
      const on = flip.getAttribute("aria-pressed") !== "true" ? "1" : "0";
      return dlv.change(prefix, { [flip.dataset.switch]: on === flip.dataset.default ? null : on });
    }
    const choice = t.closest?.("[data-choose]");
    if (choice) {
      const [name, v] = choice.dataset.choose.split("=");
      return dlv.change(prefix, { [name]: v === choice.dataset.default ? null : v });
    }
    const sets = t.closest?.("[data-set]");
    if (sets) {
      const [name, v] = sets.dataset.set.split("=");
      return dlv.change(prefix, { [name]: v || null });
    }
    const also = t.closest?.("[data-also]");
    if (also) {
      const ids = also.dataset.also.split(" ");
      if (prefix !== "lineage") return dlv.go(`/lineage?node=${ids[0]}`);
      const c = canvasHere();
      const missing = ids.filter((id) => !c?.rows.has(id));
      if (missing.length) dlv.change(prefix, { also: [...new Set([...(dlv.params().also || []), ...missing])] });
      if (ids.length > 1) dlv.wayTo = ids;
      if (!missing.length) showWay();
      return undefined;
    }
    const folds = t.closest?.("[data-fold]");
    if (folds) return dlv.drawer(JSON.parse(folds.dataset.fold));
    const exports = t.closest?.("[data-export]");
    if (exports) return dlv.save(canvasHere(), exports.dataset.export);
    if (t.closest?.("[data-swap]")) {
      const now = dlv.params();
      return dlv.change(prefix, { from: now.to, to: now.from });
    }
    const way = t.closest?.("[data-way]");
    if (way) {
      const on = way.getAttribute("aria-pressed") !== "true";
      document.querySelectorAll("[data-way]").forEach((w) => w.setAttribute("aria-pressed", String(on && w === way)));
      dlv.wayTo = on ? way.dataset.way.split(" ") : [];
      return showWay();
    }
    const pick = t.closest?.("[data-pick]");
    if (pick) {
      dlv.searchOpen();
      dlv.pick = (id) => dlv.change(prefix, { [pick.dataset.pick]: id });
      return undefined;
    }
    return undefined;
  });

  /** The way from a cause to the node, standing out until the next gesture. */
  function showWay() {
    const c = canvasHere();
    const ids = dlv.wayTo;
    if (!c || !ids) return;
    dlv.wayTo = null;
    const drawn = ids.filter((id) => c.rows.has(id));
    c.cy.edges().removeClass("path");
    c.filter(drawn.length ? new Set(drawn) : null);
    if (!drawn.length) return;
    for (let i = 1; i < drawn.length; i++) c.cy.getElementById(`${drawn[i - 1]}>${drawn[i]}`).addClass("path");
    c.reveal(drawn);
  }

  // ---------------------------------------------------------------- filters: what does not match grows pale

  const has = {
    health: (d, v) => d.health === v || d.role === v,
    system: (d, v) => d.system === v,
    kind: (d, v) => d.kind === v,
    owner: (d, v) => (v === "none" ? !d.owner : d.owner === v),
    tag: (d, v) => d.tags.includes(v),
    environment: (d, v) => d.environment === v,
  };
  const ROLE = { root: "Root cause", symptom: "Symptom", at_risk: "At risk" };

  function options(c) {
    const found = Object.fromEntries(Object.keys(FILTERS).map((k) => [k, new Map()]));
    const add = (k, v) => found[k].set(v, (found[k].get(v) || 0) + 1);
    for (const d of c.rows.values()) {
      add("health", d.health);
      if (d.role) add("health", d.role);
      add("system", d.system);
      add("kind", d.kind);
      add("owner", d.owner || "none");
      d.tags.forEach((t) => add("tag", t));
      add("environment", d.environment);
    }
    return Object.entries(FILTERS)
      .map(([k, label]) => ({
        group: label,
        items: [...found[k]]
          .sort((a, b) => b[1] - a[1])
          .slice(0, 40)
          .map(([v, n]) => ({ value: `${k}:${v}`, label: `${(k === "health" && (ROLE[v] || dlv.WORD[v])) || (v === "none" ? "Nobody" : v)} (${n})` })),
      }))
      .filter((g) => g.items.length > (g.group === "Health" || g.group === "Environment" ? 1 : 0));
  }

  const chosen = () => Object.keys(FILTERS).flatMap((k) => (dlv.params()[k] || []).map((v) => `${k}:${v}`));

  function apply(c) {
    const by = {};
    for (const text of chosen()) {
      const [k, ...v] = text.split(":");
      (by[k] ??= []).push(v.join(":"));
    }
    if (!Object.keys(by).length) return c.filter(null);
    const ids = [...c.rows.values()].filter((d) => Object.entries(by).every(([k, vs]) => vs.some((v) => has[k](d, v)))).map((d) => d.id);
    return c.filter(new Set(ids));
  }

  clientside.filtered = (values, id) => {
    const prefix = id.slice(0, id.lastIndexOf("-"));
    const c = dlv.canvases.get(prefix);
    const set = {};
    for (const k of Object.keys(FILTERS)) set[k] = [];
    for (const text of values || []) {
      const at = text.indexOf(":");
      set[text.slice(0, at)].push(text.slice(at + 1));
    }
    const same = chosen().sort().join() === [...(values || [])].sort().join();
    if (c?.view && !same) {
      dlv.change(prefix, set, { quiet: prefix !== "impact" });
      apply(c);
    }
    return window.dash_clientside.no_update;
  };

  clientside.dated = (value, id) => {
    const prefix = id.slice(0, id.lastIndexOf("-as-of"));
    const said = value ? `${String(value).slice(0, 16).replace(" ", "T")}:00Z` : "";
    const now = dlv.params().as_of?.at(-1) || "";
    if (here() === prefix && said.slice(0, 16) !== now.slice(0, 16)) dlv.change(prefix, { as_of: said || null });
    return window.dash_clientside.no_update;
  };

  dlv.filterShown = (prefix) => dlv.set(`${prefix}-filter`, { value: chosen() });

  const drawn = (prefix) => (c) => {
    dlv.controls();
    dlv.set(`${prefix}-filter`, { data: options(c), value: chosen() });
    apply(c);
    if (prefix === "impact") dlv.impactHops();
    if (dlv.wayTo) showWay();
  };
  dlv.drawn = { lineage: drawn("lineage"), impact: drawn("impact"), paths: drawn("paths") };

  // ---------------------------------------------------------------- pictures to take away

  function bounds(c) {
    const b = c.cy.nodes().boundingBox({ includeLabels: false });
    const pad = 40;
    return { x: b.x1 - pad, y: b.y1 - pad, w: b.w + 2 * pad, h: b.h + 2 * pad };
  }

  function svg(c) {
    const t = dlv.tokens().get;
    const b = bounds(c);
    const pen = new dlv.SvgPen();
    if (c.grouped) c.boxes(pen);
    c.cy.edges().forEach((e) => {
      const s = e.source().position();
      const q = e.target().position();
      const { W } = dlv.CARD;
      const x0 = s.x + W / 2;
      const x1 = q.x - W / 2 - 7;
      const o = x1 > x0 ? Math.max(26, (x1 - x0) * 0.45) : 90 + (x0 - x1) * 0.25;
      const bad = e.data("bad");
      const ink = bad === "fault" ? t["failed-fill"] : bad === "risk" ? t.risk : t.edge;
      const dash = { aging: "7 5", stale: "3 6" }[e.data("age")];
      pen.raw(
        `<path d="M${x0} ${s.y}C${x0 + o} ${s.y} ${x1 - o} ${q.y} ${x1} ${q.y}" fill="none" stroke="${ink}" stroke-width="${bad ? 2.4 : 1.6}"` +
          `${dash ? ` stroke-dasharray="${dash}"` : ""}/><path d="M${x1 + 7} ${q.y}l-8 -4.500v9z" fill="${ink}"/>`,
      );
    });
    c.cy.nodes().forEach((n) => {
      const d = c.rows.get(n.id());
      const p = n.position();
      dlv.card(pen, d, p.x, p.y, { zoom: 1, hops: c.hops, still: false, centre: c.view.node === d.id });
    });
    return (
      `<svg xmlns="http://www.w3.org/2000/svg" width="${Math.round(b.w)}" height="${Math.round(b.h)}" viewBox="${b.x} ${b.y} ${b.w} ${b.h}">` +
      `<rect x="${b.x}" y="${b.y}" width="${b.w}" height="${b.h}" fill="${t.bg}"/>${pen.out.join("")}</svg>`
    );
  }

  async function png(c) {
    const b = bounds(c);
    const scale = Math.max(0.1, Math.min(2, 8000 / b.w, 8000 / b.h));
    const out = document.createElement("canvas");
    out.width = Math.round(b.w * scale);
    out.height = Math.round(b.h * scale);
    const image = new Image();
    const url = URL.createObjectURL(new Blob([svg(c)], { type: "image/svg+xml" }));
    // the shapes by the SVG; the letters by our own font, which an SVG inside an image cannot see
    image.src = url;
    await image.decode();
    const ctx = out.getContext("2d");
    ctx.drawImage(image, 0, 0, out.width, out.height);
    URL.revokeObjectURL(url);
    ctx.setTransform(scale, 0, 0, scale, -b.x * scale, -b.y * scale);
    const pen = new dlv.CanvasPen(ctx);
    c.cy.nodes().forEach((n) => {
      const d = c.rows.get(n.id());
      const p = n.position();
      dlv.card(pen, d, p.x, p.y, { zoom: 1, hops: c.hops, centre: c.view.node === d.id });
    });
    return new Promise((ok) => out.toBlob(ok, "image/png"));
  }

  dlv.save = async (c, kind) => {
    if (!c?.view) return;
    await dlv.fontsReady;
    const blob = kind === "svg" ? new Blob([svg(c)], { type: "image/svg+xml" }) : await png(c);
    const name = (c.rows.get(c.view.node)?.name || here()).replace(/[^\w.-]+/g, "_");
    const a = document.createElement("a");
    a.href = URL.createObjectURL(blob);
    a.download = `${here()}-${name}.${kind}`;
    a.click();
    setTimeout(() => URL.revokeObjectURL(a.href), 5000);
    // what leaves DLV is written down, wherever it was made
    dlv.set("canvas-saved", { data: { format: kind, page: here(), node: c.view.node || null, rows: c.cy.nodes().length, at: Date.now() } });
  };
})();
