/* The picture on the live cytoscape instance. Cytoscape keeps places, edges, hits, pan and zoom; the cards are painted
   over it by 2-cards.js, so that a change of health is one repaint: nothing moves, no style is computed again. */
(() => {
  "use strict";
  const dlv = (window.dlv = window.dlv || {});
  const { W, H } = dlv.CARD;
  const FIELDS = [
    "id", "type", "kind", "system", "mark", "namespace", "name", "environment", "owner", "health", "role", "running",
    "criticality", "tags", "parent_id", "parent_name", "since", "reason", "x", "y", "more_up", "more_down",
    "unresolved", "hop",
  ];
  const all = (dlv.canvases = new Map());
  const NEAR = 0.92; // the server leaves room for wider cards than these
  const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

  const BAD = new Set(["root", "symptom", "at_risk"]);

  function style() {
    const t = dlv.tokens().get;
    return [
      { selector: "node", style: { shape: "rectangle", width: W + 26, height: H + 18, "background-opacity": 0, "border-width": 0, "overlay-opacity": 0, label: "" } },
      {
        selector: "edge",
        style: {
          "curve-style": "unbundled-bezier", "edge-distances": "endpoints",
          "control-point-weights": "data(w)", "control-point-distances": "data(d)",
          "source-endpoint": `${W / 2}px 0px`, "target-endpoint": `${-W / 2}px 0px`,
          width: 1.6, "line-color": t.edge, "target-arrow-color": t.edge, "target-arrow-shape": "triangle", "arrow-scale": 0.85,
          "overlay-padding": 6, "overlay-color": t.accent, "overlay-opacity": 0,
        },
      },
      { selector: "edge[age = 'aging']", style: { "line-style": "dashed", "line-dash-pattern": [7, 5] } },
      {
        selector: "edge[age = 'stale']",
        style: {
          "line-style": "dashed", "line-dash-pattern": [3, 6], "line-opacity": 0.75, label: "data(seen)", "font-size": 10,
          "font-family": "Inter, system-ui, sans-serif", color: t["text-3"], "text-background-color": t.bg, "text-background-opacity": 0.9,
          "text-background-padding": 2, "min-zoomed-font-size": 8,
        },
      },
      { selector: "edge[bad = 'risk']", style: { "line-color": t.risk, "target-arrow-color": t.risk, width: 2 } },
      { selector: "edge[bad = 'fault']", style: { "line-color": t["failed-fill"], "target-arrow-color": t["failed-fill"], width: 2.6 } },
      { selector: "edge.path", style: { "line-color": t.accent, "target-arrow-color": t.accent, width: 3 } },
      { selector: "edge.lit", style: { "line-color": t.accent, "target-arrow-color": t.accent, width: 2.6, "z-index": 5 } },
      { selector: "edge.dim", style: { opacity: 0.16 } },
      { selector: "edge:selected", style: { "overlay-opacity": 0.16 } },
      { selector: "edge:active, edge.over", style: { "overlay-opacity": 0.12 } },
    ];
  }

  /** Control points of an S-curve that leaves to the right and arrives from the left, as cytoscape wants them. */
  function curve(p, q) {
    const dx = q.x - p.x - W;
    const dy = q.y - p.y;
    const l2 = dx * dx + dy * dy || 1;
    const l = Math.sqrt(l2);
    const o = dx > 0 ? Math.max(26, dx * 0.45) : 90 + Math.abs(dx) * 0.25;
    const w = (o * dx) / l2;
    const d = (o * dy) / l;
    return { w: [w, 1 - w], d: [-d, d] };
  }

  class Canvas {
    constructor(prefix, cy) {
      this.prefix = prefix;
      this.cy = cy;
      this.rows = new Map();
      this.view = null;
      this.lit = null;
      this.only = null;
      this.focus = null;
      this.hover = null;
      this.picked = null;
      this.hops = prefix === "impact";
      this.wrap = document.getElementById(`${prefix}-canvas`);
      const box = cy.container();
      this.under = layer(box, 0);
      this.over = layer(box, 20);
      box.firstElementChild.style.zIndex = 1;
      cy.style().fromJson(style()).update();
      cy.boxSelectionEnabled(false);
      cy.on("render", () => this.paint());
      cy.on("resize", () => this.size());
      cy.on("drag", "node", (e) => e.target.connectedEdges().forEach((edge) => this.bend(edge)));
      cy.on("tap", (e) => this.tap(e));
      cy.on("dbltap", "node", (e) => this.say("expand", { id: e.target.id(), direction: "both" }));
      cy.on("mouseover", "node", (e) => this.enter(e.target));
      cy.on("mouseout", "node", () => this.leave());
      cy.on("mouseover", "edge", (e) => { e.target.addClass("over"); box.style.cursor = "pointer"; });
      cy.on("mouseout", "edge", (e) => { e.target.removeClass("over"); box.style.cursor = ""; });
      this.wrap.addEventListener("keydown", (e) => this.key(e));
      this.wrap.addEventListener("focus", () => { if (!this.focus && this.view && this.wrap.matches(":focus-visible")) this.go(this.view.node); });
      this.wrap.addEventListener("blur", () => { this.focus = null; this.paint(); });
      // until somebody moves the picture, it stays whole in whatever room it has
      cy.on("dragpan scrollzoom pinchzoom", () => (this.whole = false));
      new ResizeObserver(() => {
        if (cy.destroyed() || !box.clientWidth) return;
        cy.resize();
        this.size();
        if (this.whole) this.fit(false);
      }).observe(box);
      this.size();
    }

    say(what, detail) {
      this.last = detail.id || this.last;
      dlv.on?.[this.prefix]?.(what, detail, this);
    }

    size() {
      const box = this.cy.container();
      const dpr = Math.max(1, devicePixelRatio || 1);
      for (const c of [this.under, this.over]) {
        const w = Math.round(box.clientWidth * dpr);
        const h = Math.round(box.clientHeight * dpr);
        if (c.width !== w || c.height !== h) { c.width = w; c.height = h; }
      }
      this.paint();
    }

    /** Draw a view: the first of a node whole, a later one of the same node by what differs. */
    draw(view) {
      const cy = this.cy;
      const rows = new Map();
      for (const list of view.nodes) {
        const d = {};
        FIELDS.forEach((f, i) => (d[f] = list[i]));
        d.x *= NEAR;
        if (view.grouped) d.y *= 1.4; // room for the boxes and their names
        d.fold_up = d.fold_down = 0;
        rows.set(d.id, d);
      }
      for (const [id, direction, count, via] of view.folded) {
        const d = rows.get(id);
        if (!d) continue;
        const side = direction === "upstream" ? "up" : "down";
        d[`fold_${side}`] += count;
        (d[`via_${side}`] ??= []).push(via || id);
      }
      for (const d of rows.values()) {
        d.grow_up = d.fold_up ? 0 : d.more_up;
        d.grow_down = d.fold_down ? 0 : d.more_down;
      }
      const again = this.view && this.view.node === view.node && this.rows.size > 0 && cy.nodes().length === this.rows.size;
      const anchor = again && (rows.has(this.last) && this.rows.has(this.last) ? this.last : view.node);
      const shift = { x: 0, y: 0 };
      if (again) {
        const was = cy.getElementById(anchor).position();
        shift.x = was.x - rows.get(anchor).x;
        shift.y = was.y - rows.get(anchor).y;
      }
      const edges = new Map(view.edges.map((e) => [`${e[1]}>${e[2]}`, e]));
      const fresh = [];
      this.rows = rows;
      this.view = view;
      cy.batch(() => {
        if (!again) cy.elements().remove();
        cy.elements().filter((e) => !(e.isNode() ? rows.has(e.id()) : edges.has(e.id()))).remove();
        const add = [];
        for (const d of rows.values()) {
          d.x += shift.x;
          d.y += shift.y;
          if (!again || cy.getElementById(d.id).empty()) {
            add.push({ group: "nodes", data: { id: d.id, health: d.health, role: d.role }, position: { x: d.x, y: d.y } });
            fresh.push(d.id);
          }
        }
        for (const [id, e] of edges) {
          const data = { ...curve(rows.get(e[1]), rows.get(e[2])), age: e[3], seen: e[3] === "stale" ? ago(e[4]) : "", ref: e[0], bad: this.bad(e[1], e[2]) };
          const had = again && cy.getElementById(id);
          if (had && had.nonempty()) had.data(data);
          else add.push({ group: "edges", data: { id, source: e[1], target: e[2], ...data } });
        }
        cy.add(add);
      });
      if (again) this.settle(fresh);
      else this.fit(false);
      this.filter(this.only);
      return { nodes: rows.size, edges: edges.size };
    }

    /** Old nodes go to their new places, at once where there are many. The node that was clicked stays where it is. */
    settle(fresh) {
      const cy = this.cy;
      const moved = cy.nodes().filter((n) => {
        const d = this.rows.get(n.id());
        return n.position("x") !== d.x || n.position("y") !== d.y;
      });
      const end = (n) => { const d = this.rows.get(n.id()); return { x: d.x, y: d.y }; };
      if (!fresh.length || moved.length > 150 || still()) {
        cy.batch(() => moved.forEach((n) => n.position(end(n))));
      } else {
        const from = moved.map((n) => ({ n, a: { ...n.position() }, b: end(n) }));
        const t0 = performance.now();
        const step = (now) => {
          if (cy.destroyed()) return;
          const k = Math.min(1, (now - t0) / 220);
          const s = 1 - (1 - k) ** 3;
          cy.batch(() => from.forEach(({ n, a, b }) => n.position({ x: a.x + (b.x - a.x) * s, y: a.y + (b.y - a.y) * s })));
          this.curves();
          if (k < 1) requestAnimationFrame(step);
        };
        requestAnimationFrame(step);
      }
      this.curves();
      if (fresh.length) this.reveal(fresh);
      this.paint();
    }

    curves() {
      this.cy.batch(() => this.cy.edges().forEach((e) => this.bend(e)));
    }

    bend(edge) {
      edge.data(curve(edge.source().position(), edge.target().position()));
    }

    /** fault: between failed ends; risk: into what is at risk; nothing else is coloured. */
    bad(a, b) {
      const from = this.rows.get(a);
      const to = this.rows.get(b);
      if (!from || !to || !BAD.has(from.role) || !BAD.has(to.role)) return "";
      return to.role === "at_risk" ? "risk" : "fault";
    }

    /** New health into the cards: {id: [health, role, running, since, reason]}. Nothing moves. */
    patch(marks) {
      let changed = 0;
      const touched = new Set();
      for (const id in marks) {
        const d = this.rows.get(id);
        if (!d) continue;
        const [health, role, running, since, reason] = marks[id];
        if (d.health === health && d.role === role && d.running === running && d.since === since) continue;
        Object.assign(d, { health, role, running, since, reason });
        touched.add(id);
        changed++;
      }
      if (!changed) return 0;
      this.cy.batch(() => {
        for (const id of touched) {
          const n = this.cy.getElementById(id);
          const d = this.rows.get(id);
          n.data({ health: d.health, role: d.role });
          n.connectedEdges().forEach((e) => {
            const bad = this.bad(e.data("source"), e.data("target"));
            if (e.data("bad") !== bad) e.data("bad", bad);
          });
        }
      });
      this.paint();
      return changed;
    }

    // ------------------------------------------------------------ painting

    paint() {
      const cy = this.cy;
      if (cy.destroyed()) return;
      const ctx = this.over.getContext("2d");
      const box = cy.container();
      const dpr = this.over.width / (box.clientWidth || 1);
      const zoom = cy.zoom();
      const pan = cy.pan();
      ctx.setTransform(1, 0, 0, 1, 0, 0);
      ctx.clearRect(0, 0, this.over.width, this.over.height);
      ctx.setTransform(dpr * zoom, 0, 0, dpr * zoom, dpr * pan.x, dpr * pan.y);
      const pen = new dlv.CanvasPen(ctx);
      const x0 = -pan.x / zoom - W;
      const y0 = -pan.y / zoom - H;
      const x1 = x0 + box.clientWidth / zoom + 2 * W;
      const y1 = y0 + box.clientHeight / zoom + 2 * H;
      const lit = this.lit;
      cy.nodes().forEach((n) => {
        const d = this.rows.get(n.id());
        const p = n.position();
        if (!d || p.x < x0 || p.x > x1 || p.y < y0 || p.y > y1) return;
        pen.alpha(lit && !lit.has(d.id) ? 0.22 : 1);
        dlv.card(pen, d, p.x, p.y, this.how(d, zoom));
      });
      pen.alpha(1);
      this.groups(dpr, zoom, pan);
    }

    how(d, zoom) {
      return {
        zoom,
        hops: this.hops,
        focus: this.focus === d.id,
        selected: this.picked === d.id,
        hover: this.hover === d.id,
        centre: this.view?.node === d.id,
      };
    }

    /** Boxes around the tasks of one DAG, the queries of one application: below the edges. */
    groups(dpr, zoom, pan) {
      const ctx = this.under.getContext("2d");
      ctx.setTransform(1, 0, 0, 1, 0, 0);
      ctx.clearRect(0, 0, this.under.width, this.under.height);
      if (!this.grouped) return;
      ctx.setTransform(dpr * zoom, 0, 0, dpr * zoom, dpr * pan.x, dpr * pan.y);
      this.boxes(new dlv.CanvasPen(ctx));
    }

    boxes(pen) {
      const t = dlv.tokens().get;
      for (const g of this.members()) {
        pen.box(g.x - W / 2 - 13, g.y0 - H / 2 - 26, W + 26, g.y1 - g.y0 + H + 39, 14, { fill: t.sunken, stroke: t["line-strong"], width: 1 });
        pen.text(g.name, g.x - W / 2, g.y0 - H / 2 - 11, 10.5, 600, t["text-2"]);
      }
    }

    members() {
      const by = new Map();
      for (const d of this.rows.values()) {
        if (!d.parent_id) continue;
        const p = this.cy.getElementById(d.id).position();
        const key = `${d.parent_id}\0${Math.round(p.x)}`;
        const g = by.get(key) || { name: d.parent_name || "", x: p.x, y0: p.y, y1: p.y };
        g.y0 = Math.min(g.y0, p.y);
        g.y1 = Math.max(g.y1, p.y);
        by.set(key, g);
      }
      return by.values();
    }

    // ------------------------------------------------------------ looking

    fit(animated = true) {
      const cy = this.cy;
      this.whole = true;
      if (cy.nodes().empty()) return;
      cy.resize();
      const b = cy.nodes().boundingBox({ includeLabels: false });
      const w = cy.width();
      const h = cy.height();
      const pad = 34;
      const whole = Math.min((w - 2 * pad) / b.w, (h - 2 * pad - 20) / b.h);
      let zoom = Math.min(1.1, whole);
      let mid = { x: b.x1 + b.w / 2, y: b.y1 + b.h / 2 };
      if (!animated && whole < 0.3 && this.view) {
        zoom = 0.5;
        mid = cy.getElementById(this.view.node).position();
        // what is at one end of the picture stands at that end
        const at = (mid.x - b.x1) / b.w;
        mid = { x: mid.x + ((0.5 - Math.min(0.84, Math.max(0.16, at))) * w) / zoom, y: mid.y };
      }
      const to = { zoom, pan: { x: w / 2 - mid.x * zoom, y: h / 2 - mid.y * zoom } };
      if (animated && !still()) cy.animate(to, { duration: 200 });
      else cy.viewport(to);
    }

    /** Zoom about the middle. */
    zoom(by) {
      const cy = this.cy;
      this.whole = false;
      cy.zoom({ level: Math.max(cy.minZoom(), Math.min(cy.maxZoom(), cy.zoom() * by)), renderedPosition: { x: cy.width() / 2, y: cy.height() / 2 } });
    }

    /** Bring these into sight where they are not, the nearest way: by moving, and by zooming out where that fails. */
    reveal(ids) {
      const cy = this.cy;
      const e = cy.extent();
      let b = null;
      for (const id of ids) {
        const d = this.rows.get(id);
        b = b || { x0: d.x, x1: d.x, y0: d.y, y1: d.y };
        b.x0 = Math.min(b.x0, d.x); b.x1 = Math.max(b.x1, d.x); b.y0 = Math.min(b.y0, d.y); b.y1 = Math.max(b.y1, d.y);
      }
      b.x0 -= W / 2 + 20; b.x1 += W / 2 + 20; b.y0 -= H / 2 + 24; b.y1 += H / 2 + 24;
      if (b.x0 >= e.x1 && b.x1 <= e.x2 && b.y0 >= e.y1 && b.y1 <= e.y2) return;
      if (b.x1 - b.x0 > e.w || b.y1 - b.y0 > e.h) return void this.fit(true);
      this.whole = false;
      const z = cy.zoom();
      const dx = b.x0 < e.x1 ? e.x1 - b.x0 : b.x1 > e.x2 ? e.x2 - b.x1 : 0;
      const dy = b.y0 < e.y1 ? e.y1 - b.y0 : b.y1 > e.y2 ? e.y2 - b.y1 : 0;
      const pan = { x: cy.pan("x") + dx * z, y: cy.pan("y") + dy * z };
      if (still()) cy.pan(pan);
      else cy.animate({ pan }, { duration: 200 });
    }

    enter(node) {
      this.hover = node.id();
      this.cy.container().style.cursor = "pointer";
      clearTimeout(this.wait);
      this.wait = setTimeout(() => this.light(node), 140);
      this.paint();
    }

    leave() {
      clearTimeout(this.wait);
      this.hover = null;
      this.cy.container().style.cursor = "";
      this.light(null);
    }

    /** Everything that feeds the node and all it feeds stands out; null: nothing does. */
    light(node) {
      const cy = this.cy;
      if (cy.elements().length > 2500) return void this.paint();
      cy.batch(() => {
        cy.edges().removeClass("dim lit");
        this.lit = this.only;
        if (node) {
          const near = node.predecessors().union(node.successors()).union(node);
          this.lit = new Set(near.nodes().map((n) => n.id()));
          near.edges().addClass("lit");
          cy.edges().difference(near).addClass("dim");
        }
      });
      if (!node) this.filter(this.only);
      this.paint();
    }

    /** Only these stand out (a set of ids), or all (null). What does not match stays on the picture, pale. */
    filter(ids) {
      const nothing = !ids && !this.only; // no class to take off: do not ask every edge
      this.only = ids;
      this.lit = ids;
      if (!nothing) this.cy.batch(() => this.cy.edges().forEach((e) => {
        e.toggleClass("dim", !!ids && !(ids.has(e.data("source")) && ids.has(e.data("target"))));
        e.removeClass("lit");
      }));
      this.paint();
    }

    // ------------------------------------------------------------ doing

    tap(e) {
      const what = e.target;
      if (what === this.cy) {
        this.pick(null);
        return this.say("nothing", {});
      }
      if (what.isEdge()) {
        this.pick(null);
        return this.say("edge", { ref: what.data("ref"), source: what.data("source"), target: what.data("target") });
      }
      const d = this.rows.get(what.id());
      const p = what.position();
      const { x, y } = e.position;
      for (const at of [-1, 1]) {
        const side = at < 0 ? "up" : "down";
        if (d[`fold_${side}`]) {
          const f = dlv.foldBox(d, p.x, p.y, at);
          if (x >= f.x && x <= f.x + f.w && y >= f.y - 2 && y <= f.y + f.h + 3) return this.say("fold", { id: d.id, direction: `${side}stream` });
        }
        if (d[`grow_${side}`] && (x - p.x) * at > W / 2 - 16 && Math.abs(y - p.y) < 14) {
          return this.say("expand", { id: d.id, direction: `${side}stream` });
        }
      }
      this.pick(d.id);
      return this.say("node", { id: d.id });
    }

    pick(id) {
      this.picked = id;
      this.paint();
    }

    go(id) {
      if (!this.rows.has(id)) return;
      this.focus = id;
      const d = this.rows.get(id);
      this.reveal([id]);
      this.paint();
      const role = d.role ? `, ${{ root: "root cause", symptom: "symptom", at_risk: "at risk" }[d.role]}` : "";
      const live = document.getElementById(`${this.prefix}-live`);
      if (live) live.textContent = `${d.name}, ${d.system} ${d.kind}, ${dlv.WORD[d.health]}${role}`;
    }

    key(e) {
      if (e.target !== this.wrap) return;
      const at = this.focus || this.view?.node;
      const node = at && this.cy.getElementById(at);
      const nearest = (set) => {
        const y = node.position("y");
        return set.sort((a, b) => Math.abs(a.position("y") - y) - Math.abs(b.position("y") - y))[0];
      };
      const row = (sign) => {
        const p = node.position();
        const same = this.cy.nodes().filter((n) => Math.abs(n.position("x") - p.x) < 20 && sign * (n.position("y") - p.y) > 1);
        return same.length ? nearest(same) : null;
      };
      const walk = { ArrowLeft: () => nearest(node.incomers("node")), ArrowRight: () => nearest(node.outgoers("node")), ArrowUp: () => row(-1), ArrowDown: () => row(1) };
      if (walk[e.key] && node?.nonempty()) {
        const next = walk[e.key]();
        if (next) this.go(next.id());
      } else if (e.key === "Enter" && at) {
        this.pick(at);
        this.say("node", { id: at });
      } else if (e.key === "]" && at) this.say("expand", { id: at, direction: "downstream" });
      else if (e.key === "[" && at) this.say("expand", { id: at, direction: "upstream" });
      else if (e.key === "f") this.fit();
      else if (e.key === "+" || e.key === "=") this.zoom(1.25);
      else if (e.key === "-") this.zoom(0.8);
      else return;
      e.preventDefault();
    }
  }

  function layer(box, z) {
    const c = document.createElement("canvas");
    Object.assign(c.style, { position: "absolute", inset: "0", width: "100%", height: "100%", pointerEvents: "none", zIndex: z });
    c.setAttribute("aria-hidden", "true");
    box.appendChild(c);
    return c;
  }

  function ago(iso) {
    return dlv.since(iso).trim().replace(" days", " d");
  }

  dlv.repaint = () => {
    for (const c of all.values()) c.paint();
  };

  /** The scheme changed: edges take their colours again, cards are painted again. */
  dlv.restyle = () => {
    for (const c of all.values()) if (!c.cy.destroyed()) { c.cy.style().fromJson(style()).update(); c.paint(); }
  };

  async function ready(prefix) {
    for (let i = 0; i < 200; i++) {
      const cy = document.getElementById(`${prefix}-cy`)?._cyreg?.cy;
      if (cy && !cy.destroyed() && cy.container()?.firstElementChild) {
        if (all.get(prefix)?.cy !== cy) all.set(prefix, new Canvas(prefix, cy));
        return all.get(prefix);
      }
      await new Promise((r) => setTimeout(r, 20));
    }
    return null;
  }
  dlv.canvas = ready;

  document.addEventListener("click", (e) => {
    const button = e.target.closest?.("[data-do]");
    const prefix = button?.closest("[data-canvas]")?.dataset.canvas;
    const c = prefix && all.get(prefix);
    if (c) ({ fit: () => c.fit(), "zoom-in": () => c.zoom(1.25), "zoom-out": () => c.zoom(0.8) })[button.dataset.do]?.();
  });

  const prefixOf = (id) => id.slice(0, id.lastIndexOf("-"));
  window.dash_clientside = window.dash_clientside || {};
  const clientside = (window.dash_clientside.dlv = window.dash_clientside.dlv || {});

  clientside.draw = async (view, id) => {
    const none = window.dash_clientside.no_update;
    if (!view) return none;
    const prefix = prefixOf(id);
    const t0 = performance.now();
    await dlv.fontsReady;
    let c = await ready(prefix);
    // the router may be about to put a new canvas in this one's place: draw on the one that stays
    await new Promise((r) => setTimeout(r));
    if (c?.cy.destroyed()) c = await ready(prefix);
    if (!c || c.cy.destroyed()) return none;
    c.grouped = !!view.grouped;
    const said = c.draw(view);
    dlv.drawn?.[prefix]?.(c, view);
    await new Promise((r) => requestAnimationFrame(() => r()));
    return { ...said, ms: Math.round(performance.now() - t0), node: view.node };
  };

  clientside.patch = (marks, id) => {
    const c = all.get(prefixOf(id));
    const n = marks && c ? c.patch(marks) : 0;
    return n ? `${n} changed` : window.dash_clientside.no_update;
  };
})();
