/* Forms made from declared fields: one that counts only beside some value of another is shown only then. */
(() => {
  "use strict";
  window.dash_clientside = window.dash_clientside || {};
  const clientside = (window.dash_clientside.dlv = window.dash_clientside.dlv || {});
  let said = {};
  const shape = () => {
    for (const e of document.querySelectorAll(".form [data-when]")) {
      const [name, values] = JSON.parse(e.dataset.when);
      if (name in said) e.classList.toggle("gone", !values.includes(said[name]));
    }
  };
  clientside.declared_follow = () => {
    said = {};
    for (const group of window.dash_clientside.callback_context.inputs_list)
      for (const one of [].concat(group)) said[one.id.field] = one.value;
    shape();
    requestAnimationFrame(shape); // what has just been sent may not be drawn yet
    setTimeout(shape, 60);
    return window.dash_clientside.no_update;
  };
})();
