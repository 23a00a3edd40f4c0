/* A check's page: its last results as bars, told apart by height and colour, and its numbers over time. */
(() => {
  "use strict";
  window.dash_clientside = window.dash_clientside || {};
  const clientside = (window.dash_clientside.dlv = window.dash_clientside.dlv || {});
  const NS = "http://www.w3.org/2000/svg";
  const svg = (name, attrs, text) => {
    const e = document.createElementNS(NS, name);
    for (const [k, v] of Object.entries(attrs)) e.setAttribute(k, v);
    if (text !== undefined) {
      if (name === "text") e.textContent = text;
      else e.appendChild(document.createElementNS(NS, "title")).textContent = text;
    }
    return e;
  };
  const HIGH = { ok: 0.42, warn: 0.68, late: 0.84, failed: 1, unknown: 0.28 };
  const human = (n, unit) => {
    if (unit === "s") {
      for (const [u, size] of [["d", 86400], ["h", 3600], ["min", 60]]) if (n >= size * 2) return `${+(n / size).toFixed(1)} ${u}`;
      return `${+n.toFixed(1)} s`;
    }
    const short = Math.abs(n) >= 1e6 ? `${+(n / 1e6).toFixed(2)}M` : Math.abs(n) >= 1e4 ? `${+(n / 1e3).toFixed(1)}k` : (+n.toPrecision(4)).toLocaleString("en");
    return unit === "ms" ? `${short} ms` : short;
  };
  const clock = (ms, span) => {
    const iso = new Date(ms).toISOString();
    return span > 36 * 3600e3 ? `${iso.slice(8, 10)} ${["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][+iso.slice(5, 7) - 1]}` : `${iso.slice(11, 16)} UTC`;
  };

  let last = null;
  function draw(box, { points, unit }) {
    const width = Math.max(280, box.clientWidth), left = 4, right = 76, bars = 34;
    const numbers = points.filter((p) => p[2] !== null);
    const line = new Set(numbers.map((p) => p[2])).size > 1 || numbers.length > 1;
    const plot = line ? 120 : 0, height = bars + 22 + (line ? plot + 14 : 0);
    const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" });
    const wide = (width - left - right) / Math.max(points.length, 24);
    const x = (i) => left + i * wide;
    points.forEach(([, state, , words], i) => {
      const h = bars * (HIGH[state] || 0.28);
      root.append(svg("rect", { x: x(i).toFixed(1), y: (bars - h).toFixed(1), width: Math.max(1.5, Math.min(wide - 2, 14)).toFixed(1), height: h.toFixed(1), rx: 1.5, class: `bar c-${state}` }, words));
    });
    const span = points.length ? points[points.length - 1][0] - points[0][0] : 0;
    const at = (i, anchor) => svg("text", { x: x(i) + (anchor === "end" ? wide : 0), y: bars + 15, "text-anchor": anchor }, clock(points[i][0], span));
    if (points.length) root.append(at(0, "start"));
    if (points.length > 8) root.append(at(points.length - 1, "end"));
    if (line) {
      const top = bars + 30, values = numbers.map((p) => p[2]);
      let low = Math.min(...values), high = Math.max(...values);
      if (low === high) { low -= Math.abs(low) * 0.1 || 1; high += Math.abs(high) * 0.1 || 1; }
      const y = (v) => top + plot - 8 - ((v - low) / (high - low)) * (plot - 16);
      for (const v of [low, high]) {
        root.append(svg("line", { x1: left, x2: width - right, y1: y(v), y2: y(v), class: "rule" }));
        root.append(svg("text", { x: width - right + 8, y: y(v) + 4 }, human(v, unit)));
      }
      let path = "", pen = "M";
      points.forEach((p, i) => {
        if (p[2] === null) { pen = "M"; return; } // where it could not look there is a gap, not a line across
        path += `${pen}${(x(i) + wide / 2).toFixed(1)} ${y(p[2]).toFixed(1)}`;
        pen = "L";
      });
      root.append(svg("path", { d: path, class: "curve" }));
      points.forEach((p, i) => {
        if (p[2] !== null) root.append(svg("circle", { cx: (x(i) + wide / 2).toFixed(1), cy: y(p[2]).toFixed(1), r: p[1] === "ok" ? 2 : 3.5, class: `dot c-${p[1]}` }, p[3]));
      });
    }
    box.replaceChildren(root);
  }
  const again = () => {
    const box = document.getElementById("check-chart");
    if (box && last) draw(box, last);
  };
  clientside.check_drawn = (data) => {
    if (data) last = data;
    requestAnimationFrame(again);
    return window.dash_clientside.no_update;
  };
  let soon = 0;
  window.addEventListener("resize", () => { cancelAnimationFrame(soon); soon = requestAnimationFrame(again); });
})();
