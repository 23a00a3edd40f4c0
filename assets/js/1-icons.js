/* Icons as paths for the canvas, read from the same files that the pages use, once each. */
(() => {
  "use strict";
  const dlv = (window.dlv = window.dlv || {});
  const known = new Map();

  /** {d: [path], stroke, box, path: [Path2D]} of assets/icons/{name}.svg; null until it is here. */
  dlv.icon = (name) => {
    const has = known.get(name);
    if (has !== undefined) return has;
    known.set(name, null);
    load(name);
    return null;
  };

  async function load(name) {
    const answer = await fetch(`/assets/icons/${name}.svg`);
    if (!answer.ok) return;
    const svg = new DOMParser().parseFromString(await answer.text(), "image/svg+xml").documentElement;
    const paths = [...svg.querySelectorAll("path")].filter((p) => p.getAttribute("d") !== "M0 0h24v24H0z");
    const d = paths.map((p) => p.getAttribute("d"));
    known.set(name, {
      d,
      path: d.map((one) => new Path2D(one)),
      stroke: svg.getAttribute("stroke") === "currentColor",
      box: Number(svg.getAttribute("viewBox").split(" ")[2]),
    });
    dlv.repaint?.();
  }
})();
