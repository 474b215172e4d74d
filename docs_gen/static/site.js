// What the pages can do with scripts: theme, search, copying. All content is readable without.
(() => {
  "use strict";
  const root = document.currentScript?.dataset.root ?? "";
  const single = document.documentElement.classList.contains("single");
  const make = (tag, attributes = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), attributes);
    element.append(...children);
    return element;
  };

  const theme = document.querySelector(".theme");
  theme.addEventListener("click", () => {
    const dark = getComputedStyle(document.documentElement).colorScheme === "dark" ||
      (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    try { localStorage.theme = document.documentElement.dataset.theme; } catch { /* it holds for this page */ }
  });

  addEventListener("click", async (event) => {
    const button = event.target.closest(".copy"), link = event.target.closest(".try");
    if (link) {
      try { sessionStorage.relayFrame = JSON.stringify([link.dataset.direction, link.closest(".code").querySelector("code").textContent]); } catch { /* it opens empty */ }
      window.dispatchEvent(new Event("relay-try"));
    } else if (button) {
      const shown = button.closest(".code").querySelector("code");
      if (navigator.clipboard) await navigator.clipboard.writeText(shown.textContent);
      else { getSelection().selectAllChildren(shown); document.execCommand("copy"); } // plain http has no clipboard
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    }
  });
  // A link to each section, to be copied.
  function linkHeadings(within) {
    for (const heading of within.querySelectorAll("h2[id], h3[id]")) {
      heading.append(make("a", { className: "anchor", href: `#${heading.id}`, textContent: "#", ariaLabel: `Link to ${heading.textContent}` }));
    }
  }
  if (!single) linkHeadings(document.querySelector("main"));
  // In a single file one page is shown at a time. Where there are scripts, the others wait as the text of a
  // noscript element, which costs nothing; one by one they become elements, within reach of the browser's search.
  let openAll = () => {};
  // The text of a section, and where an ID stands in it.
  const written = (section) => section.querySelector(":scope > noscript")?.textContent ?? section.innerHTML;
  const placeOf = (text, id) => text.indexOf(`id="${id}"`);
  if (single) {
    const sections = [...document.querySelectorAll("main > section")];
    let shown = sections[0];
    const open = (section) => {
      const waiting = section.querySelector(":scope > noscript");
      if (waiting) { section.innerHTML = waiting.textContent; linkHeadings(section); }
      if (section !== shown) section.setAttribute("hidden", "until-found");
    };
    const show = (section) => {
      if (shown !== section) shown.setAttribute("hidden", "until-found");
      shown.classList.remove("shown");
      shown = section;
      open(section);
      section.removeAttribute("hidden");
      section.classList.add("shown");
      for (const link of document.querySelectorAll("#pages a")) link.ariaCurrent = link.hash === `#${section.id}` ? "page" : null;
    };
    const follow = () => {
      let name = location.hash.slice(1);
      try { name = decodeURIComponent(name); } catch { /* then it is of no place */ }
      // Requirements are unique by themselves; their section may still wait.
      const known = document.getElementById(name.split("--")[0]);
      const section = known ? known.closest("main > section") : sections.find((each) => name && placeOf(written(each), name) >= 0) ?? sections[0];
      if (!section) return; // not of a page: the link that skips to the content
      show(section);
      const target = document.getElementById(name);
      if (!target || target === section) scrollTo({ top: 0, behavior: "instant" }); else target.scrollIntoView({ behavior: "instant" });
    };
    document.querySelector("main").addEventListener("beforematch", (event) => show(event.target.closest("main > section")));
    addEventListener("hashchange", follow);
    follow();
    const waiting = [...sections];
    const idle = window.requestIdleCallback ?? ((work) => setTimeout(work, 30));
    const next = () => {
      if (!waiting.length) return;
      open(waiting.shift());
      idle(next);
    };
    // The others are of use once somebody is there: until then the page rests.
    const signs = ["pointermove", "pointerdown", "keydown", "wheel"];
    const begin = () => { for (const sign of signs) removeEventListener(sign, begin); idle(next); };
    for (const sign of signs) addEventListener(sign, begin, { passive: true });
    openAll = () => waiting.splice(0).forEach(open);
  }

  const pages = document.getElementById("pages");
  pages.addEventListener("click", (event) => {
    if (event.target.closest("a") && pages.matches(":popover-open")) pages.hidePopover();
  });
  const current = pages.querySelector("[aria-current=page]");
  if (current && current.offsetTop > pages.clientHeight * 0.7) pages.scrollTop = current.offsetTop - pages.clientHeight / 2;
  addEventListener("beforeprint", () => { openAll(); for (const details of document.querySelectorAll("main details")) details.open = true; });

  // Search. What it looks through is data: search.json, as programs find it, too. A page that was opened from a file may
  // not fetch one, but it may show another page, which holds the same data. A single file has it beside its sections,
  // and leaves out what can be read there: the sentence of a requirement, the title of a scenario, the words of a guide.
  let known, asked;
  function entries() {
    if (!known && single) {
      known = [...document.querySelectorAll("script.found")].flatMap((each) => JSON.parse(each.textContent).map((entry) => {
        const section = each.previousElementSibling, short = entry.href.replace("*", () => entry.title);
        const href = short.startsWith("#") ? short : `#${section.id}${short}`, html = written(section);
        const from = short ? html.slice(Math.max(0, placeOf(html, href.slice(1)))) : html;
        const plain = (part) => make("p", { innerHTML: part }).textContent;
        const words = entry.kind.startsWith("guide") ? plain(from.slice(0, from.indexOf("<h2", 1) >>> 0)).toLowerCase().replace(/[^a-z0-9]+/g, " ") : "";
        return { ...entry, href, words, text: entry.text ?? plain(/<(h1|p)>(.*?)<\/\1>/s.exec(from)?.[2] ?? "") };
      }));
    }
    return known;
  }
  function ask() {
    if (asked || entries()) return;
    asked = true;
    const take = (text) => { known = JSON.parse(text); show(); };
    if (location.protocol !== "file:") {
      fetch(`${root}search.json`).then((answer) => answer.text()).then(take).catch(() => { asked = false; note.textContent = "The index could not be loaded."; });
      return;
    }
    const frame = make("iframe", { src: `${root}assets/search.html`, hidden: true, title: "Data of the search" });
    addEventListener("message", (event) => { if (event.source === frame.contentWindow) take(event.data); });
    document.body.append(frame);
  }
  // What a kind of thing weighs among others that match as well: what readers look for by name comes first.
  const WEIGHTS = [[/^you /, 9], [/ code$/, 8], [/^guide/, 7], [/^field /, 6], [/^(limit|capability|MUST|SHOULD|MAY)/, 5], [/^shared type$/, 4], [/^(scenario|probe)$/, 1]];
  const weigh = (kind) => WEIGHTS.find(([form]) => form.test(kind))?.[1] ?? 3;
  // Exact names first, then whole words of names, beginnings, parts; then what a guide speaks of, and other texts.
  function rank({ title, kind, href, text, words = "" }, asked) {
    const name = title.toLowerCase(), query = asked.join(" "), inName = ` ${name.replace(/^the /, "").replace(/[_.-]/g, " ")} `, extra = weigh(kind) - name.length / 100;
    const place = /field-(.*)/.exec(href)?.[1].toLowerCase() ?? "", way = /frames[/.]([cs]2[cs])[/.]/.exec(href)?.[1] ?? "";
    const titled = `${name} ${kind.toLowerCase()} ${way} ${place}`; // "timestamp deliver": a field and its frame
    const all = `${titled} ${text} ${words}`.toLowerCase();
    if (!asked.every((word) => all.includes(word))) return 0;
    if (name === query || inName === ` ${query} ` || (query.includes(".") && `.${place}`.endsWith(`.${query}`))) return 100 + extra;
    if (inName.includes(` ${query} `)) return 80 + extra;
    if (name.startsWith(query)) return 60 + extra;
    if (name.includes(query)) return 40 + extra;
    if (asked.every((word) => titled.includes(word))) return (asked.some((word) => word === name || (word.includes(".") && word === place)) ? 35 : 30) + extra;
    const spoken = ` ${text.toLowerCase().replace(/[^a-z0-9]+/g, " ")} ${words} `;
    return (asked.every((word) => spoken.includes(` ${word} `)) ? 20 : 10) + extra;
  }
  function search(query) {
    // A field is found by its place, too, as the tables of fields and the pointers of findings have it.
    const words = query.toLowerCase().split(/\s+/).filter(Boolean).map((word) => word.startsWith("/") && word[1] ? word.slice(1).replace(/\/\d+(?=\/|$)/g, "").replaceAll("/", ".") : word);
    if (!words.length) return [];
    const best = (score) => entries().map((entry) => [score(entry), entry]).filter(([points]) => points)
      .sort(([a], [b]) => b - a).slice(0, 30).map(([, entry]) => entry);
    const found = best((entry) => rank(entry, words));
    // Nothing has all of the words: then what has most of them; of a place that there is not, its name.
    const names = words.map((word) => word.replace(/^payload\.(?:.*\.)?(?=.)/, ""));
    return found.length ? found : best((entry) => names.reduce((sum, word) => sum + rank(entry, [word]), 0));
  }
  window.relayFind = search;

  let dialog, input, list, note;
  function show() {
    if (!entries()) return;
    const found = search(input.value);
    list.replaceChildren(...found.map(({ title, kind, href, text }, place) => make("li", { role: "none" },
      make("a", { id: `found-${place}`, role: "option", ariaSelected: "false", href: href.startsWith("#") ? href : root + href }, make("strong", { textContent: title }), make("em", { textContent: kind }), make("small", { textContent: text })))));
    input.ariaExpanded = found.length > 0;
    choose(1);
    note.textContent = !input.value.trim() ? "Frames, fields, requirements, codes, types, cases, keys of the target file, guides." : found.length ? "" : "Nothing of that name.";
  }
  function choose(step) {
    const links = [...list.querySelectorAll("a")];
    const at = links.findIndex((link) => link.ariaSelected === "true");
    const next = links[(at + step + links.length) % links.length];
    input.removeAttribute("aria-activedescendant");
    if (!next) return;
    if (at >= 0) links[at].ariaSelected = "false";
    next.ariaSelected = "true";
    input.setAttribute("aria-activedescendant", next.id);
    next.scrollIntoView({ block: "nearest" });
  }
  function openSearch() {
    if (!dialog) {
      input = make("input", { type: "text", role: "combobox", ariaAutoComplete: "list", placeholder: "Search", ariaLabel: "Search", autocomplete: "off", spellcheck: false });
      list = make("ul", { id: "found", role: "listbox", ariaLabel: "Found" });
      input.setAttribute("aria-controls", list.id);
      note = make("p");
      note.setAttribute("role", "status");
      dialog = make("dialog", { className: "search", ariaLabel: "Search" }, input, list, note);
      document.body.append(dialog);
      input.addEventListener("input", show);
      dialog.addEventListener("keydown", (event) => {
        if (event.key === "ArrowDown" || event.key === "ArrowUp") { event.preventDefault(); choose(event.key === "ArrowDown" ? 1 : -1); }
        if (event.key === "Enter" && event.target === input) { event.preventDefault(); list.querySelector("[aria-selected=true]")?.click(); }
      });
      dialog.addEventListener("click", (event) => { if (event.target === dialog || event.target.closest("a")) dialog.close(); });
    }
    dialog.showModal();
    input.select();
    ask();
    show();
  }
  document.querySelector(".find").addEventListener("click", (event) => { event.preventDefault(); openSearch(); });
  addEventListener("keydown", (event) => {
    const typing = /^(input|textarea|select)$/i.test(event.target.tagName) || event.target.isContentEditable;
    if ((event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) || (event.key === "k" && (event.ctrlKey || event.metaKey))) {
      event.preventDefault();
      openSearch();
    }
  });

  // The validator's page.
  if (typeof relayValidator === "undefined" || typeof relaySchemas === "undefined") return;
  const pretty = (frame) => JSON.stringify(frame, null, 2);
  // The same text, laid out: what parsing would mend (a key that stands twice, too large an integer) stays to be found.
  function layOut(text) {
    JSON.parse(text); // throws where it is none
    let depth = 0;
    const line = (step) => `\n${"  ".repeat(Math.min(depth += step, 64))}`;
    return text.replace(/"(?:[^"\\]|\\.)*"|([{[])\s*([}\]]?)|([}\]])|([,:])|\s+/g, (all, open, empty, end, mark) =>
      open ? open + (empty || line(1)) : end ? line(-1) + end : mark === "," ? mark + line(0) : mark ? ": " : all.trim() && all);
  }
  function examplesInto(select, directions) {
    for (const direction of directions) {
      const group = make("optgroup", { label: direction === "c2s" ? "You send" : "You receive" });
      for (const name of Object.keys(relaySchemas.examples[direction])) group.append(make("option", { value: `${direction} ${name}`, textContent: name }));
      select.append(group);
    }
  }
  const exampleOf = (value) => { const [direction, name] = value.split(" "); return [direction, relaySchemas.examples[direction][name]]; };
  function findingItem(finding, verdict, area) {
    const place = verdict.places.get(finding.pointer) ?? (verdict.at !== undefined ? [verdict.at, verdict.at + 1] : [0, 0]);
    const item = make("li", { className: finding.severity });
    if (area) {
      const line = area.value.slice(0, place[0]).split("\n").length;
      const button = make("button", { type: "button", textContent: finding.pointer || `line ${line}` });
      button.addEventListener("click", () => { area.focus(); area.setSelectionRange(place[0], Math.max(place[1], place[0] + 1)); });
      item.append(button, finding.pointer ? ` (line ${line}) ` : " ");
    } else item.append(make("code", { textContent: finding.pointer || "(the frame)" }), " ");
    item.append(finding.message);
    if (finding.requirement) {
      const page = `requirements/${relaySchemas.areas[finding.requirement.split("-")[0]]}`;
      const href = `${single ? "" : `${root}${page}.html`}#${finding.requirement}`;
      item.append(" ", make("a", { className: "rid", href, textContent: finding.requirement }));
    }
    return item;
  }
  window.relayTools = { make, pretty, examplesInto, exampleOf, findingItem };

  const form = document.querySelector("[data-tool=validator]");
  if (!form) return;
  const { direction, example, frame, format } = form.elements;
  const box = form.querySelector(".verdict-box");
  form.hidden = false;
  examplesInto(example, ["c2s", "s2c"]);
  function judge() {
    const verdict = relayValidator.validate(frame.value, direction.value, relaySchemas);
    const count = verdict.findings.length;
    const words = verdict.valid ? `Valid${verdict.type ? `: ${verdict.type}` : ""}${count ? `, with ${count} ${count === 1 ? "warning" : "warnings"}` : ""}` : `Invalid: ${count} ${count === 1 ? "finding" : "findings"}`;
    box.replaceChildren(make("p", { className: verdict.valid ? "ok" : "no", textContent: words }),
      make("ul", { className: "findings" }, ...verdict.findings.map((finding) => findingItem(finding, verdict, frame))));
  }
  form.addEventListener("submit", (event) => { event.preventDefault(); judge(); });
  frame.addEventListener("input", () => { if (frame.value.trim()) judge(); else box.replaceChildren(); });
  direction.addEventListener("change", () => { if (frame.value.trim()) judge(); });
  example.addEventListener("change", () => {
    if (!example.value) return;
    const [way, value] = exampleOf(example.value);
    direction.value = way;
    frame.value = pretty(value);
    judge();
  });
  format.addEventListener("click", () => { try { frame.value = layOut(frame.value); } catch { /* it stays as it is */ } judge(); });
  function take() {
    let given;
    try { given = JSON.parse(sessionStorage.relayFrame); delete sessionStorage.relayFrame; } catch { return; }
    direction.value = given[0];
    try { frame.value = layOut(given[1]); } catch { frame.value = given[1]; }
    judge();
  }
  addEventListener("relay-try", take);
  take();
})();
