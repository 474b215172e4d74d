// The console: a client in the page. Everything that goes or comes is validated.
(() => {
  "use strict";
  const form = document.querySelector("[data-tool=console]");
  if (!form || !window.relayTools) return;
  const { make, pretty, examplesInto, exampleOf, findingItem } = window.relayTools;
  const { url, who, token, example, frame, send, clear } = form.elements;
  const connect = form.querySelector("[type=submit]"), status = form.querySelector(".status"), log = form.querySelector(".log");
  let socket = null;
  form.hidden = false;
  examplesInto(example, ["c2s"]);

  // `relaykit serve --dev` puts this here, in place of null: {"url": …, "people": {"alice phone": token, …},
  // "peers": {"alice phone": {"user": …, "device": …, "group": …, "conversation": …}, …}}.
  const given = JSON.parse(document.getElementById("relay-dev").textContent);
  if (given) {
    const people = Object.entries(given.people);
    url.value = given.url;
    who.append(...people.map(([name, value]) => make("option", { value, textContent: name })));
    form.querySelector(".how").hidden = people.length > 0;
    who.closest("label").hidden = !people.length;
    who.addEventListener("change", () => { token.value = who.value; });
    token.value = who.value;
  }

  const LONGEST = 500;
  const fresh = () => {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = bytes[6] & 15 | 64;
    bytes[8] = bytes[8] & 63 | 128;
    return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("").replace(/(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  };
  // Examples speak of nobody; with people at hand they are for one of them.
  const ADDRESSES = { receiver_id: "user", recipient_id: "user", target_id: "user", target_device_id: "device", group_id: "group", conversation_id: "conversation" };
  function addressed(payload) {
    const peers = given?.peers?.[who.selectedOptions[0]?.textContent];
    for (const [field, kind] of Object.entries(ADDRESSES)) if (peers && payload?.[field]) payload[field] = peers[kind];
  }
  function note(way, text) {
    while (log.children.length >= LONGEST) log.lastChild.remove();
    const time = new Date().toISOString().slice(11, 23);
    if (way === "note") { log.prepend(make("li", {}, make("span", { className: "fine", textContent: `${time} ${text}` }))); return; }
    const verdict = relayValidator.validate(text, way === "out" ? "c2s" : "s2c", relaySchemas);
    const words = `${time} ${way === "out" ? "you send" : "you receive"} ${verdict.type ?? ""} · ${verdict.valid ? "valid" : "invalid"}`;
    let shown = text;
    if (verdict.valid) shown = pretty(JSON.parse(text)); // what is wrong is shown as it came
    log.prepend(make("li", { className: `${way}${verdict.valid ? "" : " bad"}` }, make("span", { className: "fine", textContent: words }),
      make("pre", {}, make("code", { textContent: shown })),
      make("ul", { className: "findings" }, ...verdict.findings.map((finding) => findingItem(finding, verdict, null)))));
  }
  function state(words, open) {
    status.textContent = words;
    send.disabled = !open;
    connect.textContent = socket ? "Disconnect" : "Connect";
  }
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (socket) { socket.close(1000); return; }
    let opened;
    try { opened = new WebSocket(url.value, token.value ? [relaySchemas.subprotocol, token.value.trim()] : []); }
    catch (error) { state(`Cannot connect: ${error.message}`, false); return; }
    socket = opened;
    state("Connecting …", false);
    opened.addEventListener("open", () => { state("Connected.", true); note("note", "connected"); });
    opened.addEventListener("message", (message) => note("in", typeof message.data === "string" ? message.data : "(binary)"));
    opened.addEventListener("close", (close) => {
      socket = null;
      const why = `Closed: ${close.code}${close.reason ? ` ${close.reason}` : ""}${close.code === 1006 ? " (no answer, or refused: is the server running, is the token valid?)" : ""}`;
      state(why, false);
      note("note", why);
    });
  });
  example.addEventListener("change", () => {
    if (!example.value) return;
    const value = structuredClone(exampleOf(example.value)[1]);
    if ("message_id" in value) value.message_id = fresh();
    addressed(value.payload);
    frame.value = pretty(value);
  });
  send.addEventListener("click", () => {
    socket?.send(frame.value); // as it stands: a key that stands twice is a test, too
    note("out", frame.value);
  });
  clear.addEventListener("click", () => log.replaceChildren());
})();
