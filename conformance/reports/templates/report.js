// What the report can do with scripts: theme, filter, search, copying. All content is readable without.
(() => {
  "use strict";
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const one = (selector, within = document) => within.querySelector(selector);

  const theme = one(".theme");
  theme.hidden = false;
  theme.addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("relaykit-theme", root.dataset.theme); } catch { /* it holds for this page */ }
  });

  // Copying, also where a page opened as a file has no clipboard of its own.
  async function copy(text) {
    try { await navigator.clipboard.writeText(text); } catch {
      const area = Object.assign(document.createElement("textarea"), { value: text });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  }
  function button(text, what) {
    const made = Object.assign(document.createElement("button"), { type: "button", className: "copy", textContent: "Copy" });
    made.setAttribute("aria-label", `Copy ${what}`);
    made.addEventListener("click", async () => {
      await copy(text());
      made.textContent = "Copied";
      setTimeout(() => { made.textContent = "Copy"; }, 1500);
    });
    return made;
  }
  function equip(details) {
    if (details.dataset.equipped) return;
    details.dataset.equipped = "1";
    for (const line of all(".cmd", details)) line.append(button(() => one("code", line).textContent, "the command"));
    for (const pre of all("pre.wire", details)) {
      const box = Object.assign(document.createElement("div"), { className: "copyable" });
      pre.replaceWith(box);
      box.append(pre, button(() => pre.textContent, "this"));
    }
  }
  document.addEventListener("toggle", (event) => {
    if (event.target.matches?.(".case[open]")) equip(event.target);
  }, true);
  const cases = all(".case");
  cases.filter((each) => each.open).forEach(equip);

  // The filter: whatever fits all of it is shown.
  const filter = one(".filter");
  if (cases.length) filter.hidden = false;
  const query = one("#q"), area = one("#area"), level = one("#level"), boxes = all("[name=v]"), found = one(".found");
  const words = new Map();
  const said = (each) => {
    if (!words.has(each)) {
      const parts = all(":scope > summary, .about, .why, .point > h4, .rule, .meta .rid", each).map((part) => part.textContent);
      words.set(each, `${parts.join(" ")} ${each.dataset.kinds} ${each.dataset.area}`.toLowerCase());
    }
    return words.get(each);
  };
  function apply() {
    const wanted = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    const verdicts = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    let count = 0;
    for (const group of all(".group")) {
      let some = false;
      for (const each of all(".case", group)) {
        const fits = verdicts.has(group.dataset.group) && (!area.value || each.dataset.area === area.value)
          && (!level.value || each.dataset.level === level.value) && wanted.every((word) => said(each).includes(word));
        each.hidden = !fits;
        if (fits) { some = true; count += 1; }
      }
      group.hidden = !some;
      for (const family of all(".family", group)) {
        family.hidden = !one(".case:not([hidden])", family);
        if (wanted.length) family.open = true;
      }
    }
    found.textContent = count === cases.length ? "" : `${count} of ${cases.length} cases`;
    one(".nothing").hidden = count > 0 || !cases.length;
  }
  let later = 0;
  query.addEventListener("input", () => { clearTimeout(later); later = setTimeout(apply, 80); });
  filter.addEventListener("change", apply);
  filter.addEventListener("submit", (event) => { event.preventDefault(); apply(); });
  function clear() {
    query.value = area.value = level.value = "";
    for (const box of boxes) box.checked = true;
    apply();
  }
  one("#reset").addEventListener("click", () => { clear(); query.focus(); });
  for (const link of all("[data-area]:is(a)")) link.addEventListener("click", () => { area.value = link.dataset.area; apply(); });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.target.closest("input, select, textarea") && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      query.focus();
    }
  });
  const fold = one("#fold");
  fold.addEventListener("click", () => {
    const open = fold.textContent.startsWith("Unfold");
    for (const each of cases) if (!each.hidden) each.open = open;
    for (const each of all(".family")) if (!each.hidden) each.open = open;
    fold.textContent = open ? "Fold all" : "Unfold all";
  });

  // A link into what is folded or filtered away shows it.
  function reveal() {
    let target = null;
    try { target = document.getElementById(decodeURIComponent(location.hash.slice(1))); } catch { /* no such place */ }
    if (!target) return;
    const inside = target.closest(".case");
    if (inside?.hidden || (target.closest(".group")?.hidden)) clear();
    for (let each = target; each; each = each.parentElement) if (each.localName === "details") each.open = true;
    target.scrollIntoView();
  }
  addEventListener("hashchange", reveal);
  // The same link again changes no hash.
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#"]');
    if (link && link.getAttribute("href") === location.hash) { event.preventDefault(); reveal(); }
  });
  reveal();
  addEventListener("beforeprint", () => { for (const each of all(".k-fail, .k-error, .k-warn")) each.open = true; });
})();
