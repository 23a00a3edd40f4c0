/* What a node looks like. One painter, two pens: a canvas for the screen and PNG, SVG text for the file. */
(() => {
  "use strict";
  const dlv = (window.dlv = window.dlv || {});
  const W = 236;
  const H = 66;
  dlv.CARD = { W, H };

  /** The tokens of css/1-tokens.css as they are now; read again when the scheme changes. */
  let kept = null;
  dlv.tokens = () => {
    const scheme = document.documentElement.getAttribute("data-mantine-color-scheme") || "light";
    if (kept?.scheme === scheme) return kept;
    const style = getComputedStyle(document.documentElement);
    const read = (name) => style.getPropertyValue(`--${name}`).trim();
    kept = { scheme, get: new Proxy({}, { get: (cache, name) => (cache[name] ??= read(name)) }) };
    return kept;
  };

  const WORD = { failed: "Failed", late: "Late", warn: "Warning", ok: "Healthy", unknown: "Unknown" };
  const ROLE = { root: "ROOT CAUSE", symptom: "SYMPTOM", at_risk: "AT RISK" };
  const ROLE_COLOUR = { root: "failed-fill", symptom: "late", at_risk: "risk" };
  dlv.WORD = WORD;

  const ruler = document.createElement("canvas").getContext("2d");
  const cuts = new Map();
  const font = (size, weight) => `${weight} ${size}px Inter, system-ui, sans-serif`;

  /** The text, cut with an ellipsis in the middle where it is wider than `room`: the ends tell names apart. */
  function cut(text, room, size, weight) {
    const key = `${text}\0${room}\0${size}\0${weight}`;
    const had = cuts.get(key);
    if (had !== undefined) return had;
    ruler.font = font(size, weight);
    let out = text;
    if (ruler.measureText(text).width > room) {
      let low = 1;
      let high = text.length;
      const at = (n) => `${text.slice(0, Math.ceil(n * 0.62))}…${text.slice(text.length - Math.floor(n * 0.38))}`;
      while (low < high) {
        const mid = (low + high + 1) >> 1;
        if (ruler.measureText(at(mid)).width <= room) low = mid;
        else high = mid - 1;
      }
      out = at(low);
    }
    if (cuts.size > 20000) cuts.clear();
    cuts.set(key, out);
    return out;
  }

  /** The text in at most two lines, broken where names break; what is still too wide is cut. */
  function lines(text, room, size, weight) {
    if (wide(text, size, weight) <= room) return [text];
    const parts = text.split(/(?<=[_.\-/ ])/);
    let first = "";
    while (parts.length > 1 && wide(first + parts[0], size, weight) <= room) first += parts.shift();
    return first ? [first, cut(parts.join(""), room, size, weight)] : [cut(text, room, size, weight)];
  }

  function wide(text, size, weight) {
    ruler.font = font(size, weight);
    return ruler.measureText(text).width;
  }

  dlv.fontsReady = document.fonts
    ? Promise.all(["500 12px Inter", "620 13px Inter"].map((f) => document.fonts.load(f))).then(() => cuts.clear())
    : Promise.resolve();

  class CanvasPen {
    constructor(ctx) {
      this.ctx = ctx;
    }
    alpha(a) {
      this.ctx.globalAlpha = a;
    }
    box(x, y, w, h, r, look) {
      const c = this.ctx;
      c.beginPath();
      if (r) c.roundRect(x, y, w, h, r);
      else c.rect(x, y, w, h);
      this._ink(look);
    }
    shape(d, x, y, scale, look) {
      const c = this.ctx;
      c.save();
      c.translate(x, y);
      c.scale(scale, scale);
      for (const p of d.path) {
        if (look.stroke) {
          c.strokeStyle = look.stroke;
          c.lineWidth = look.width;
          c.lineCap = c.lineJoin = "round";
          c.stroke(p);
        } else {
          c.fillStyle = look.fill;
          c.fill(p, look.bold ? "nonzero" : "evenodd");
          if (look.bold) {
            c.strokeStyle = look.fill;
            c.lineWidth = look.bold;
            c.stroke(p);
          }
        }
      }
      c.restore();
    }
    text(s, x, y, size, weight, colour, anchor = "left") {
      const c = this.ctx;
      c.font = font(size, weight);
      c.fillStyle = colour;
      c.textAlign = anchor;
      c.textBaseline = "alphabetic";
      c.fillText(s, x, y);
    }
    _ink({ fill, stroke, width = 1, dash }) {
      const c = this.ctx;
      if (fill) {
        c.fillStyle = fill;
        c.fill();
      }
      if (stroke) {
        c.strokeStyle = stroke;
        c.lineWidth = width;
        c.setLineDash(dash || []);
        c.stroke();
        if (dash) c.setLineDash([]);
      }
    }
  }

  const safe = (s) => String(s).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
  const n2 = (v) => Math.round(v * 100) / 100;

  class SvgPen {
    constructor() {
      this.out = [];
      this.a = 1;
    }
    alpha(a) {
      this.a = a;
    }
    box(x, y, w, h, r, { fill, stroke, width = 1, dash }) {
      this.out.push(
        `<rect x="${n2(x)}" y="${n2(y)}" width="${n2(w)}" height="${n2(h)}" rx="${Array.isArray(r) ? r[0] : r}"` +
          ` fill="${fill || "none"}"${stroke ? ` stroke="${stroke}" stroke-width="${width}"` : ""}` +
          `${dash ? ` stroke-dasharray="${dash}"` : ""}${this._o()}/>`,
      );
    }
    shape(d, x, y, scale, look) {
      const ink = look.stroke
        ? `fill="none" stroke="${look.stroke}" stroke-width="${look.width}" stroke-linecap="round" stroke-linejoin="round"`
        : look.bold
          ? `fill="${look.fill}" stroke="${look.fill}" stroke-width="${look.bold}"`
          : `fill="${look.fill}" fill-rule="evenodd"`;
      this.out.push(
        `<g transform="translate(${n2(x)} ${n2(y)}) scale(${n2(scale)})" ${ink}${this._o()}>` +
          `${d.d.map((p) => `<path d="${safe(p)}"/>`).join("")}</g>`,
      );
    }
    text(s, x, y, size, weight, colour, anchor = "left") {
      const at = { left: "start", center: "middle", right: "end" }[anchor];
      this.out.push(
        `<text x="${n2(x)}" y="${n2(y)}" font-family="Inter, system-ui, sans-serif" font-size="${size}" ` +
          `font-weight="${weight}" fill="${colour}" text-anchor="${at}"${this._o()}>${safe(s)}</text>`,
      );
    }
    raw(s) {
      this.out.push(s);
    }
    _o() {
      return this.a < 1 ? ` opacity="${this.a}"` : "";
    }
  }
  dlv.CanvasPen = CanvasPen;
  dlv.SvgPen = SvgPen;
  dlv.safe = safe;

  function icon(pen, name, x, y, size, colour) {
    const d = dlv.icon(name);
    if (!d) return;
    const look = d.stroke ? { stroke: colour, width: 1.9 } : { fill: colour, bold: 0.45 };
    pen.shape(d, x, y, size / d.box, look);
  }

  /** 'Failed 2 h', 'Late 3 days': how long it has been so; nothing for what is well. */
  dlv.since = (iso) => {
    if (!iso) return "";
    const s = (Date.now() - Date.parse(iso)) / 1000;
    if (!(s >= 0)) return "";
    if (s < 5400) return ` ${Math.max(1, Math.round(s / 60))} min`;
    return s < 129600 ? ` ${Math.round(s / 3600)} h` : ` ${Math.round(s / 86400)} days`;
  };

  const parted = (d) => {
    const at = d.namespace.indexOf("://");
    return at < 0 ? d.namespace : d.namespace.slice(at + 3);
  };

  const PATH = new Set(["file", "s3", "gs", "hdfs", "abfss", "wasbs", "dbfs"]);

  /** [what tells it from its neighbours, what it stands in]: 'fct_orders' in 'shop.analytics', 'load' in 'daily'. */
  dlv.names = (d) => {
    if (d.names) return d.names;
    const dots = !PATH.has(d.system) && d.kind !== "topic" && d.kind !== "dashboard" && !/\s/.test(d.name);
    const at = d.name.lastIndexOf(dots ? "." : "/");
    const own = at > 0 && at < d.name.length - 1 ? d.name.slice(at + 1) : d.name;
    const rest = own === d.name ? "" : d.name.slice(0, at);
    return (d.names = [own, d.type === "job" ? d.parent_name || rest || parted(d) : rest || parted(d)]);
  };

  /** Which half of the colours a card takes: by health and standing, or by distance in impact mode. */
  function tone(d, hops) {
    const t = dlv.tokens().get;
    if (hops && d.hop) {
      const h = Math.min(d.hop, 5);
      return { strip: t[`hop-${h}`], soft: t[`hop-${h}-soft`], hop: h };
    }
    const state = d.role === "at_risk" && (d.health === "ok" || d.health === "unknown") ? "risk" : d.health;
    const strip = t[`${state}-fill`] || t[state];
    return { strip, soft: t[`${state}-soft`], hop: 0 };
  }

  /**
   * One card at (x, y), its middle. `how`: {zoom, focus, selected, hover, centre, hops}. Below a zoom at which letters can be
   * read it shows the name alone, larger, and below that only its colour and shape.
   */
  dlv.card = (pen, d, x, y, how) => {
    const t = dlv.tokens().get;
    const left = x - W / 2;
    const top = y - H / 2;
    const { strip, soft, hop } = tone(d, how.hops);
    const bad = d.health === "failed" || d.health === "late";
    const dataset = d.type === "dataset";
    const round = dataset ? 8 : 16; // a job's corners are rounder than a table's
    const edge = d.role === "root" ? t["failed-fill"] : d.role === "symptom" ? t.late : d.role === "at_risk" ? t.risk : null;

    if (how.focus || how.selected || how.centre) {
      pen.box(left - 4, top - 4, W + 8, H + 8, round + 4, {
        stroke: how.focus ? t.focus : t.accent,
        width: how.focus ? 3 : how.selected ? 2.5 : 1.5,
      });
    }
    const line = { fill: bad || hop ? soft : t.surface, stroke: edge || t["line-strong"], width: d.role === "root" ? 2.5 : 1.25 };
    if (d.role === "at_risk") Object.assign(line, { width: 1.75, dash: [6, 4] });
    else if (d.role === "symptom") line.width = 1.75;
    if (how.zoom < 0.2) {
      pen.box(left, top, W, H, round, { fill: bad || d.role || hop ? strip : soft, stroke: edge || strip, width: edge ? 9 : 4 });
      return;
    }
    pen.box(left, top, W, H, round, line);
    pen.box(left + 5, top + 7, hop ? 8 : 5, H - 14, 3, { fill: strip });
    const sys = t[`sys-${d.system}`] || t["sys-other"];
    if (how.zoom < 0.48) {
      const size = 20;
      const told = !!d.role; // the tab says it: no second mark
      icon(pen, d.mark, left + 18, y - 14, 28, sys);
      const said = lines(dlv.names(d)[0], W - (told ? 62 : 92), size, 620);
      const mid = y + (said.length > 1 ? -3 : 7) + (told && said.length > 1 ? 3 : 0);
      said.forEach((one, i) => pen.text(one, left + 52, mid + i * 22, size, 620, t.text));
      const glyph = !told && dlv.icon(`st-${d.health}`);
      if (glyph) pen.shape(glyph, left + W - 35, y - 12, 24 / 16, { fill: t[d.health] });
    } else {
      full(pen, d, left, top, sys, strip, hop, how);
    }
    tab(pen, d, left, top, how);
    handles(pen, d, x, y, how);
  };

  function full(pen, d, left, top, sys, strip, hop, how) {
    const t = dlv.tokens().get;
    icon(pen, d.mark, left + 20, top + 11, 22, sys);
    const room = W - 52 - 12;
    const pill = hop ? `hop ${d.hop}` : "";
    const pillRoom = pill ? wide(pill, 10.5, 620) + 18 : 0;
    const [name, within] = dlv.names(d);
    pen.text(cut(name, room - pillRoom, 13, 620), left + 52, top + 21.5, 13, 620, t.text);
    pen.text(cut(`${d.kind || d.type} · ${within}`, room, 11, 450), left + 52, top + 37, 11, 450, t["text-3"]);
    const glyph = dlv.icon(`st-${d.health}`);
    const colour = t[d.health];
    if (glyph) pen.shape(glyph, left + 52, top + 44.5, 12 / 16, { fill: colour });
    let word = WORD[d.health] + (d.health === "failed" || d.health === "late" ? dlv.since(d.since) : "");
    if (d.running) word += " · running";
    pen.text(word, left + 68, top + 54.5, 11, 600, colour);
    const used = wide(word, 11, 600) + 22;
    if (d.owner && room - used > 30) {
      pen.text(cut(d.owner, room - used, 11, 450), left + W - 12, top + 54.5, 11, 450, t["text-2"], "right");
    }
    if (pill) {
      const w = pillRoom - 4;
      pen.box(left + W - w - 9, top + 9, w, 17, 8.5, { fill: strip });
      pen.text(pill, left + W - w / 2 - 9, top + 21.2, 10.5, 620, t[`hop-${hop}-text`], "center");
    }
    if (d.unresolved) {
      const q = dlv.icon("st-warn");
      if (q) pen.shape(q, left + 23, top + 42, 1, { fill: t.warn });
    }
  }

  /** The tab on the upper rim that says root cause, symptom or at risk: filled, outlined, dashed. */
  function tab(pen, d, left, top, how) {
    if (!d.role) return;
    const t = dlv.tokens().get;
    const big = how.zoom < 0.48;
    const size = big ? 15 : 9.5;
    const text = ROLE[d.role];
    const h = big ? 24 : 16;
    const w = wide(text, size, 720) + (big ? 40 : 27);
    const x = left + 18;
    const y = top - h / 2 - (big ? 3 : 1);
    const colour = t[ROLE_COLOUR[d.role]];
    const look =
      d.role === "root"
        ? { fill: colour }
        : { fill: t.surface, stroke: colour, width: 1.5, dash: d.role === "at_risk" ? [4, 3] : undefined };
    pen.box(x, y, w, h, h / 2.6, look);
    const ink = d.role === "root" ? (dlv.tokens().scheme === "dark" ? "#14070a" : "#ffffff") : colour;
    const glyph = dlv.icon(`st-${d.role}`);
    const g = big ? 16 : 10.5;
    if (glyph) pen.shape(glyph, x + 6, y + (h - g) / 2, g / 16, { fill: ink });
    pen.text(text, x + g + 10.5, y + h / 2 + size * 0.36, size, 720, ink);
  }

  /** What can be grown at either side, and what was folded away at the bottom. */
  function handles(pen, d, x, y, how) {
    if (how.still || how.zoom < 0.3) return;
    const t = dlv.tokens().get;
    for (const [n, at] of [[d.grow_up, -1], [d.grow_down, 1]]) {
      if (!n) continue;
      const text = n > 99 ? "99+" : `+${n}`;
      const w = Math.max(24, wide(text, 10.5, 650) + 11);
      const cx = x + (at * W) / 2;
      pen.box(cx - w / 2, y - 10, w, 20, 10, { fill: how.hover ? t.accent : t.surface, stroke: t.accent, width: 1.4 });
      pen.text(text, cx, y + 3.8, 10.5, 650, how.hover ? t["on-accent"] : t.accent, "center");
    }
    for (const [n, at] of [[d.fold_up, -1], [d.fold_down, 1]]) {
      if (!n) continue;
      const f = dlv.foldBox(d, x, y, at);
      pen.box(f.x, f.y, f.w, f.h, 8, { fill: t["accent-soft"], stroke: t.accent, width: 1.2 });
      pen.text(f.text, f.x + f.w / 2, f.y + 12.4, 10.5, 650, t.accent, "center");
    }
  }

  /** Where the "+48 more" of a card stands: at its lower corner, on the side it was folded. */
  dlv.foldBox = (d, x, y, at) => {
    const n = at < 0 ? d.fold_up : d.fold_down;
    const text = at < 0 ? `◂ +${n.toLocaleString("en")} more` : `+${n.toLocaleString("en")} more ▸`;
    const w = wide(text, 10.5, 650) + 16;
    return { text, w, h: 17, y: y + H / 2 - 6, x: at < 0 ? x - W / 2 + 10 : x + W / 2 - w - 10 };
  };
})();
