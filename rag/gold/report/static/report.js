"use strict";
(() => {
  const chosen = { label: new Set(), tag: new Set() };
  const cases = [...document.querySelectorAll("#all details.case")];
  const search = document.querySelector(".filters input");
  const shown = document.querySelector("#shown");

  function apply() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let visible = 0;
    for (const item of cases) {
      const tags = item.dataset.tags.split(" ");
      const fits =
        (chosen.label.size === 0 || chosen.label.has(item.dataset.label)) &&
        (chosen.tag.size === 0 || tags.some((tag) => chosen.tag.has(tag))) &&
        words.every((word) => item.textContent.toLowerCase().includes(word));
      item.classList.toggle("hidden", !fits);
      visible += fits ? 1 : 0;
    }
    shown.textContent = `${visible} of ${cases.length} shown`;
  }

  for (const button of document.querySelectorAll(".filters button[data-kind]")) {
    button.addEventListener("click", () => {
      const set = chosen[button.dataset.kind];
      const on = !set.has(button.dataset.value);
      if (on) set.add(button.dataset.value);
      else set.delete(button.dataset.value);
      button.setAttribute("aria-pressed", String(on));
      apply();
    });
  }
  search.addEventListener("input", apply);

  const before = new Map();
  window.addEventListener("beforeprint", () => {
    // What broke is printed in full; of the other questions only those that the reader has opened.
    for (const item of document.querySelectorAll("details.case")) {
      if (item.closest("#all")) continue;
      before.set(item, item.open);
      item.open = true;
    }
  });
  window.addEventListener("afterprint", () => {
    for (const [item, open] of before) item.open = open;
  });
  apply();
})();
