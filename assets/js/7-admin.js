/* Lists and forms: how cells look, filters into the URL, buttons in rows, Enter in a dialog. */
(() => {
  "use strict";
  const dlv = (window.dlv = window.dlv || {});
  window.dash_clientside = window.dash_clientside || {};
  const clientside = (window.dash_clientside.dlv = window.dash_clientside.dlv || {});
  const cells = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  const functions = (window.dashMantineFunctions = window.dashMantineFunctions || {});
  const none = () => window.dash_clientside.no_update;
  const h = (...args) => window.React.createElement(...args);
  const icon = (name, cls = "ic") => h("span", { className: cls, style: { "--i": `url(/assets/icons/${name}.svg)` }, "aria-hidden": true });

  // ---------------------------------------------------------------- cells; a row that is still on its way has no data

  cells.NodeCell = ({ data, value, colDef }) => {
    if (!data) return h("span", { className: "wait" });
    const as = colDef.cellRendererParams || {};
    const id = data[as.id || "id"];
    return h(
      "button",
      { className: "node-cell", "data-open": id, title: `${value} · ${data[as.sub || "sub"] || ""}`, type: "button" },
      icon(data[as.mark || "mark"], `ic sys ${data[as.system || "system"]}`),
      h("span", null, h("b", null, value), h("small", null, data[as.sub || "sub"])),
    );
  };
  cells.Plain = ({ value }) => (value === null || value === undefined || value === "" ? h("span", { className: "muted" }, "—") : h("span", { className: "ell", title: String(value) }, String(value)));
  cells.What = ({ data }) => (data ? h("span", { className: "ell", title: data.what }, data.what) : null);
  cells.Mono = ({ value }) => (value ? h("code", { className: "ell", title: value }, value) : h("span", { className: "muted" }, "—"));
  cells.When = ({ value }) => (value ? h("span", { className: "ell", title: value.title }, value.text) : null);
  cells.Two = ({ value }) => (value ? h("span", { className: "two", title: value.title || `${value.a} ${value.b || ""}` }, h("b", null, value.a), h("small", null, value.b)) : null);
  cells.Marked = ({ value }) => (value ? h("span", { className: "marked" }, icon(value.mark, `ic sys ${value.system}`), h("span", { className: "two", title: `${value.a}, ${value.b}` }, h("b", null, value.a), h("small", null, value.b))) : h("span", { className: "wait" }));
  // as Two, and leads somewhere
  cells.Leads = ({ value }) => {
    if (!value) return null;
    const two = [h("b", { key: 1 }, value.a), h("small", { key: 2 }, value.b)];
    return value.href ? h("a", { className: "leads two", href: value.href, title: `${value.a} ${value.b || ""}` }, two) : h("span", { className: "two" }, two);
  };
  const state = (s, cls = "st") => h("span", { className: `${cls} c-${s.state}`, title: s.title || undefined }, icon(s.icon || `st-${s.state}`, "glyph"), s.word);
  const LOOK = { root: "tag solid", symptom: "tag hollow", at_risk: "tag dashed" };
  cells.Health = ({ data, value }) => {
    if (!data || !value) return null;
    if (!data.role) return state(value);
    return h("span", { title: `${data.role.word}; own health: ${value.word}` }, state(data.role, LOOK[data.role.state]));
  };
  cells.State = ({ value }) => (value ? state(value) : null);
  cells.Tags = ({ value }) => {
    if (!value || !value.length) return h("span", { className: "muted" }, value ? "—" : "");
    return h("span", { className: "cell-tags", title: value.join(", ") }, ...value.map((t) => h("span", { className: "tag", key: t }, t)));
  };
  cells.Acts = ({ data, colDef }) => {
    if (!data) return null;
    const { dialog, buttons } = colDef.cellRendererParams;
    const name = data.name || data.username || data.pattern || data.source_name || "";
    return h(
      "span",
      { className: "acts-cell" },
      ...buttons
        .filter((b) => !b.when || data[b.when])
        .map((b) =>
          h(
            "button",
            { key: b.mode, type: "button", className: "iconbtn", title: b.label, "aria-label": `${b.label} ${typeof name === "string" ? name : name.a || ""}`, "data-ask-dialog": dialog, "data-mode": b.mode, "data-id": data.id },
            icon(b.icon),
          ),
        ),
    );
  };
  cells.Diff = ({ value }) => {
    if (!value) return null;
    if (!value.length) return h("span", { className: "muted" }, "—");
    return h(
      "span",
      { className: "diff", title: value.map((d) => `${d.field}: ${d.before ?? ""} → ${d.after ?? ""}`).join("\n") },
      ...value.slice(0, 2).map((d) =>
        h(
          "span",
          { key: d.field },
          h("em", null, d.field),
          d.before !== undefined && d.before !== "nothing" ? h("del", null, d.before) : null,
          d.after !== undefined ? h(d.after === "nothing" ? "span" : "ins", null, d.after) : null,
        ),
      ),
      value.length > 2 ? h("small", { className: "muted" }, `and ${value.length - 2} more`) : null,
    );
  };

  // Tab goes from button to button inside a cell before it leaves it
  (window.dashAgGridFunctions = window.dashAgGridFunctions || {}).buttonsTakeTab = ({ event }) => {
    if (event.key !== "Tab") return false;
    const cell = event.target.closest?.(".ag-cell");
    const stops = [cell, ...(cell?.querySelectorAll("button") || [])];
    return stops[stops.indexOf(event.target) + (event.shiftKey ? -1 : 1)] !== undefined;
  };

  // ---------------------------------------------------------------- lists

  const api = (id, then) => window.dash_ag_grid?.getApiAsync?.(id).then(then).catch(() => {});
  const full = (v) => !(v === null || v === undefined || v === "" || (Array.isArray(v) && !v.length));

  /** What the filters say now goes into the list's store and, where the page is the list, into the URL. */
  /** The browser's own file field inside an upload, which Dash gives no name to. */
  clientside.name_upload = (id) => {
    const field = document.getElementById(id)?.querySelector("input[type=file]");
    if (field) field.setAttribute("aria-label", "File");
    else setTimeout(() => location.pathname === "/admin/import" && clientside.name_upload(id), 200); // it is fetched when needed
    return window.dash_clientside.no_update;
  };
  clientside.list_filtered = (_, __, before, id) => {
    const values = { ...before.values };
    for (const group of window.dash_clientside.callback_context.inputs_list)
      for (const one of [].concat(group)) values[one.id.filter || one.id.words] = one.value;
    for (const k of Object.keys(values)) if (!full(values[k])) delete values[k];
    if (JSON.stringify(values) === JSON.stringify(before.values)) return none();
    if (before.url) {
      const q = new URLSearchParams();
      for (const [k, vs] of Object.entries(values)) for (const v of [].concat(vs)) q.append(k, v);
      history.replaceState({}, "", location.pathname + (q.size ? `?${q}` : ""));
    }
    setTimeout(() => api(id, (g) => { g.deselectAll(); g.purgeInfiniteCache(); }), 0);
    return { ...before, values };
  };
  /** After a save: rows in place, and nothing chosen any more, for what was chosen holds the versions of before. */
  clientside.list_fresh = (token, id) => {
    if (token) api(id, (g) => { g.deselectAll(); g.refreshInfiniteCache(); });
    return none();
  };
  clientside.list_follow = (pulse, id) => {
    if (pulse) api(id, (g) => g.refreshInfiniteCache());
    return none();
  };

  // ---------------------------------------------------------------- dialogs

  dlv.ask = (dialog, said) => dlv.set(`${dialog}-ask`, { data: { ...said, at: Date.now() } });
  document.addEventListener("click", (e) => {
    const b = e.target.closest?.("[data-ask-dialog]");
    if (b && !b.disabled) {
      e.stopPropagation();
      dlv.ask(b.dataset.askDialog, { mode: b.dataset.mode, id: b.dataset.id ?? null });
    }
    const shut = e.target.closest?.("[data-shut-dialog]");
    if (shut) dlv.set(`${shut.dataset.shutDialog}-dialog`, { opened: false });
    const copy = e.target.closest?.("[data-copy]");
    if (copy) copied(copy);
  });
  async function copied(b) {
    const from = document.getElementById(b.dataset.copy);
    const text = from ? from.textContent : "";
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const range = document.createRange();
      range.selectNodeContents(from);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      document.execCommand("copy");
    }
    const word = b.querySelector("span:last-child");
    word.textContent = "Copied";
    setTimeout(() => { word.textContent = "Copy"; }, 1600);
  }
  document.addEventListener("keydown", (e) => {
    if (e.key !== "Enter") return;
    // in a cell: what a click on it would do
    if (e.target.classList?.contains("ag-cell")) return e.target.querySelector("button, a")?.click();
    const form = e.target.closest?.(".form");
    if (form && e.target.tagName === "INPUT" && !e.target.closest("[data-expanded], [aria-haspopup=listbox]"))
      form.closest(".mantine-Modal-content")?.querySelector(".form-save:not(.gone)")?.click();
  });
  /** Options that the server already chose are all shown. */
  functions.allPass = ({ options }) => options;
})();
