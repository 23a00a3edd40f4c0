/* The frame: scheme, search keys, where we are, the beat, the drawer. */
(() => {
  "use strict";
  const dlv = (window.dlv = window.dlv || {});
  window.dash_clientside = window.dash_clientside || {};
  const clientside = (window.dash_clientside.dlv = window.dash_clientside.dlv || {});
  const none = () => window.dash_clientside.no_update;
  const set = (id, props) => window.dash_clientside.set_props(id, props);
  dlv.set = set;

  // the scheme, before the first paint: Mantine reads the same key
  const KEY = "mantine-color-scheme-value";
  const wanted = () => {
    // a screen on the wall is dark unless its address says otherwise
    const url = new URLSearchParams(location.search);
    if (location.pathname === "/wall" && !["", "0", null].includes(url.get("kiosk"))) return url.get("scheme") === "light" ? "light" : "dark";
    const said = localStorage.getItem(KEY);
    if (said === "light" || said === "dark") return said;
    return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  };
  document.documentElement.setAttribute("data-mantine-color-scheme", wanted());
  clientside.scheme = (n) => {
    let now = wanted();
    if (n && window.dash_clientside.callback_context.triggered_id === "scheme-toggle") {
      now = now === "dark" ? "light" : "dark";
      localStorage.setItem(KEY, now);
    }
    return now;
  };
  new MutationObserver(() => requestAnimationFrame(() => dlv.restyle?.())).observe(document.documentElement, {
    attributes: true,
    attributeFilter: ["data-mantine-color-scheme"],
  });

  /** One beat: never while the tab is hidden, never while the last is still being answered. */
  clientside.tick = (_, busy) => (document.hidden || busy ? none() : Date.now());
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) set("beat", { data: Date.now() });
  });

  clientside.where = (path) => {
    for (const a of document.querySelectorAll(".side .nav")) {
      const href = a.getAttribute("href");
      if (href === "/" ? path === "/" : path.startsWith(href)) a.setAttribute("aria-current", "page");
      else a.removeAttribute("aria-current");
    }
    return none();
  };

  // ---------------------------------------------------------------- going places

  const rawPush = history.pushState.bind(history);
  const rawReplace = history.replaceState.bind(history);

  /** Within the app: Dash's router hears of it and the page is not loaded again. */
  dlv.go = (href) => {
    history.pushState({}, "", href);
    window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
  };

  /** The URL's parameters as {name: [values]}. */
  dlv.params = () => {
    const out = {};
    for (const [k, v] of new URLSearchParams(location.search)) (out[k] ??= []).push(v);
    return out;
  };

  /** Change some of them (null removes), keep the page, tell it by its `ask` store. `quiet`: the page knows already. */
  dlv.change = (prefix, changes, { quiet = false, replace = false } = {}) => {
    const now = { ...dlv.params() };
    for (const [k, v] of Object.entries(changes)) {
      if (v === null || v === "" || (Array.isArray(v) && !v.length)) delete now[k];
      else now[k] = [].concat(v).map(String);
    }
    const q = new URLSearchParams();
    for (const [k, vs] of Object.entries(now)) for (const v of vs) q.append(k, v);
    const href = `${location.pathname}?${q}`;
    if (href !== location.pathname + location.search) (replace ? rawReplace : rawPush)({}, "", href);
    showEnvironment();
    if (!quiet) set(`${prefix}-ask`, { data: now });
    dlv.controls?.();
  };

  /** The page asks what the URL says; false where the URL is another page's. */
  function follow() {
    const ask = document.querySelector("[data-ask]");
    if (!ask || ask.dataset.path !== location.pathname) return false;
    set(`${ask.dataset.ask}-ask`, { data: dlv.params() });
    dlv.controls?.();
    return true;
  }
  // back and forward inside one page: the store that holds the question follows the URL. The router is not told, for it
  // would make the page, and with it the canvas, anew
  window.addEventListener("popstate", (e) => {
    if (follow()) e.stopImmediatePropagation();
    showEnvironment();
  }, true);
  // a link to the page that is open: the router may think that it is there already
  window.addEventListener("_dashprivate_pushstate", follow);

  // ---------------------------------------------------------------- the environment, in the URL of every page

  const environments = () => new URLSearchParams(location.search).getAll("environment");
  let chosen = "";
  /** Going to another page keeps the environment, unless that page's address says one of its own. */
  history.pushState = (state, title, url) => {
    const to = url ? new URL(url, location.href) : null;
    if (to && to.origin === location.origin && !to.searchParams.has("environment"))
      for (const one of environments()) to.searchParams.append("environment", one);
    rawPush(state, title, to ? to.pathname + to.search + to.hash : url);
    showEnvironment();
  };
  history.replaceState = (...how) => {
    rawReplace(...how);
    showEnvironment();
  };
  /** The field in the header says what the URL says. */
  function showEnvironment() {
    const now = environments();
    const one = now.length === 1 ? now[0] : "";
    if (one === chosen || !document.getElementById("env")) return;
    chosen = one;
    set("env", { value: one });
    set("beat", { data: Date.now() });
  }
  clientside.environment = (value) => {
    if (value === null || value === undefined || value === chosen || !window.dash_clientside.callback_context.triggered_id) return none();
    chosen = value;
    const q = new URLSearchParams(location.search);
    q.delete("environment");
    q.delete("cursor");
    if (value) q.set("environment", value);
    rawPush({}, "", location.pathname + (q.size ? `?${q}` : ""));
    window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
    set("beat", { data: Date.now() });
    return none();
  };

  // ---------------------------------------------------------------- search

  const searching = () => document.getElementById("search-input")?.offsetParent != null;
  const open = () => {
    set("search", { opened: true });
    let n = 0;
    const grab = () => {
      const input = document.getElementById("search-input");
      if (input?.offsetParent) { input.focus(); input.select(); }
      else if (n++ < 40) setTimeout(grab, 15);
    };
    grab();
  };
  dlv.searchOpen = open;
  clientside.search_open = (n) => {
    if (!n) return none();
    open();
    return none();
  };
  const close = () => set("search", { opened: false });
  const hits = () => [...document.querySelectorAll(".hit")];
  const choose = (i) => {
    const list = hits();
    if (!list.length) return;
    const at = (i + list.length) % list.length;
    list.forEach((h, j) => h.setAttribute("aria-selected", j === at ? "true" : "false"));
    list[at].scrollIntoView({ block: "nearest" });
    document.getElementById("search-input").setAttribute("aria-activedescendant", list[at].id);
  };
  const take = (hit, impact) => {
    close();
    const picked = dlv.pick;
    dlv.pick = null;
    if (picked) picked(hit.dataset.node);
    else dlv.go(`${impact ? "/impact" : "/lineage"}?node=${hit.dataset.node}`);
  };
  document.addEventListener("keydown", (e) => {
    if ((e.ctrlKey || e.metaKey) && e.key.toLowerCase() === "k") {
      e.preventDefault();
      dlv.pick = null;
      return open();
    }
    if (e.key === "Escape" && !searching() && document.querySelector(".drawer.open")) return dlv.drawerClose();
    if (e.key === "/" && !e.target.closest("input, textarea, [contenteditable]")) {
      e.preventDefault();
      dlv.pick = null;
      return open();
    }
    if (e.target.id !== "search-input") return undefined;
    const at = hits().findIndex((h) => h.getAttribute("aria-selected") === "true");
    if (e.key === "ArrowDown") choose(at + 1);
    else if (e.key === "ArrowUp") choose(at - 1);
    else if (e.key === "Enter" && at >= 0) take(hits()[at], e.shiftKey);
    else return undefined;
    e.preventDefault();
    return undefined;
  });
  document.addEventListener("mousemove", (e) => {
    const hit = e.target.closest?.(".hit");
    if (hit && hit.getAttribute("aria-selected") !== "true") choose(hits().indexOf(hit));
  });

  // ---------------------------------------------------------------- drawer

  dlv.drawer = (ask) => set("drawer-ask", { data: { ...ask, at: Date.now() } });
  dlv.drawerClose = () => {
    set("drawer", { className: "drawer" });
    set("drawer-ask", { data: null });
    for (const c of dlv.canvases?.values() || []) c.pick(null);
  };

  document.addEventListener("click", (e) => {
    const t = e.target;
    const hit = t.closest?.(".hit");
    if (hit) return take(hit, e.shiftKey);
    if (t.closest?.("#drawer-close")) return dlv.drawerClose();
    const opens = t.closest?.("[data-open]");
    if (opens) return dlv.drawer({ kind: opens.dataset.kind || "node", id: opens.dataset.open });
    const finds = t.closest?.("[data-find]");
    if (finds) return open();
    if (t.closest?.("#sign-out")) return signOut();
    return undefined;
  });

  async function signOut() {
    const token = document.cookie.split("; ").find((c) => c.startsWith("_csrf_token="))?.slice(12);
    await fetch("/sign-out", { method: "POST", headers: { "X-CSRFToken": token || "" }, redirect: "manual" });
    location.assign("/sign-in");
  }
})();
