// A client for browsers. `freshToken` is a function that gives a token, or a
// promise of one; `show` gets each new message, what became of those sent
// ("sent", "delivered", "read", "failed"), and "stopped" when no token is good.
class Client {
  #outbox = new Map(); // these two belong where they survive a restart
  #seen = new Set();
  #socket = null;
  #done = false;
  #refused = 0; // how many tokens, one after the other
  #quiet = { until: 0, timer: null, held: [] }; // the server asked for a rest

  constructor(url, freshToken, show) {
    Object.assign(this, { url, freshToken, show });
    this.#stayConnected();
  }

  send(payload) {
    const message_id = crypto.randomUUID();
    this.#outbox.set(message_id, { at: 0, frame: { type: "send", message_id, payload } });
    this.#go(); // or with the next connection
    return message_id;
  }

  close() {
    this.#done = true;
    this.#socket?.close(1000);
  }

  async #stayConnected() {
    for (let delay = 0; !this.#done;) {
      let served = false;
      try {
        const token = await this.freshToken();
        if (!this.#done) served = await this.#session(token);
      } catch { /* no token: as if there were no network */ }
      delay = served ? 1 : Math.min(60, Math.max(1, delay * 2));
      const pause = delay * (0.5 + Math.random() / 2);
      await new Promise((resolve) => setTimeout(resolve, 1000 * pause));
    }
  }

  // One connection, from its beginning to its end. Gives whether it was of use.
  #session(token) {
    return new Promise((ended) => {
      const socket = this.#socket = new WebSocket(this.url, ["Bearer", token]);
      let served = false, last = Date.now();
      const watch = setInterval(() => {
        if (this.#quiet.timer) last = Date.now(); // we are to ask nothing
        const silent = Date.now() - last;
        if (silent > 40_000) { // nobody answers
          clearInterval(watch);
          socket.close();
          ended(served);
        } else if (silent > 30_000) this.#frame({ type: "heartbeat" });
        this.#go();
      }, 5_000);
      socket.onopen = () => this.#again();
      socket.onmessage = ({ data }) => {
        last = Date.now();
        const frame = JSON.parse(data);
        if (frame.type !== "error") [served, this.#refused] = [true, 0];
        this.#take(frame);
      };
      socket.onclose = ({ code }) => {
        clearInterval(watch);
        if (code === 1009) this.#tooLarge();
        ended(served);
      };
    });
  }

  #take({ type, message_id, payload }) {
    const id = (message_id ?? payload?.message_id)?.toLowerCase();
    if (type === "deliver" || type === "group_message") {
      if (!this.#seen.has(id)) this.show(type, id, payload);
      this.#seen.add(id); // keep it, and only then acknowledge it: each time
      this.#frame({ type: "delivery_ack", message_id: id });
    } else if (type === "sent_ack") this.#settle(id, "sent");
    else if (type === "status_update") this.show(payload.status, id);
    else if (type === "ping") this.#frame({ type: "pong" });
    else if (type === "error") this.#fault(payload, id);
  }

  #fault({ error_code, reconnect, retry_after }, id) {
    if (error_code === "auth_failed") {
      if (reconnect && ++this.#refused < 2) return; // the next token may do
      this.close();
      this.show("stopped", error_code);
    } else if (error_code === "rate_limited" || error_code === "server_error") {
      this.#rest(Math.min(600, Math.max(1, Number(retry_after) || 5)));
    } else this.#settle(id, "failed"); // again it would, too
  }

  #settle(id, what) {
    if (this.#outbox.delete(id)) this.show(what, id);
    this.#go();
  }

  // The largest of those under way is what the server closed for.
  #tooLarge() {
    const sizes = [...this.#outbox].map(([id, { at, frame }]) => [at && JSON.stringify(frame).length, id]);
    const [size, id] = sizes.sort(([a], [b]) => b - a)[0] ?? [0];
    if (size) this.#settle(id, "failed");
  }

  // One rest for all errors that ask for one; the longest counts.
  #rest(seconds) {
    const until = Date.now() + 1000 * seconds;
    if (until <= this.#quiet.until) return;
    clearTimeout(this.#quiet.timer);
    this.#quiet = { ...this.#quiet, until, timer: setTimeout(() => {
      const { held } = this.#quiet;
      this.#quiet = { until: 0, timer: null, held: [] };
      for (const frame of held) this.#frame(frame);
      this.#again();
    }, 1000 * seconds) };
  }

  #again() {
    for (const message of this.#outbox.values()) message.at = 0;
    this.#go();
  }

  // Few messages at a time, the oldest first; again what has had no answer.
  #go() {
    if (this.#quiet.timer || this.#socket?.readyState !== WebSocket.OPEN) return;
    for (const message of [...this.#outbox.values()].slice(0, 16)) {
      if (Date.now() - message.at < 20_000) continue;
      message.at = Date.now();
      this.#frame(message.frame);
    }
  }

  #frame(frame) {
    if (this.#quiet.timer) this.#quiet.held.push(frame);
    else if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
  }
}
