// A client for browsers. `freshToken` is a function that gives a token, or a
// promise of one; `show` gets each new message, and what became of those sent.
class Client {
  #outbox = new Map(); // these two belong where they survive a restart
  #seen = new Set();
  #socket = null;
  #done = false;

  constructor(url, freshToken, show) {
    Object.assign(this, { url, freshToken, show });
    this.#stayConnected();
  }

  send(payload) {
    const message_id = crypto.randomUUID();
    this.#outbox.set(message_id, { type: "send", message_id, payload });
    this.#frame(this.#outbox.get(message_id)); // or with the next connection
    return message_id;
  }

  close() {
    this.#done = true;
    this.#socket?.close(1000);
  }

  async #stayConnected() {
    for (let delay = 0; !this.#done;) {
      const alive = await this.#session(await this.freshToken());
      delay = alive ? 1 : Math.min(60, Math.max(1, delay * 2));
      const pause = delay * (0.5 + Math.random() / 2);
      await new Promise((resolve) => setTimeout(resolve, 1000 * pause));
    }
  }

  // One connection, from its beginning to its end. Gives whether anything came.
  #session(token) {
    return new Promise((ended) => {
      const socket = this.#socket = new WebSocket(this.url, ["Bearer", token]);
      let alive = false, last = Date.now();
      const watch = setInterval(() => {
        const silent = Date.now() - last;
        if (silent > 40_000) { // nobody answers
          clearInterval(watch);
          socket.close();
          ended(alive);
        } else if (silent > 30_000) this.#frame({ type: "heartbeat" });
      }, 5_000);
      socket.onopen = () => this.#again();
      socket.onmessage = ({ data }) => {
        [alive, last] = [true, Date.now()];
        this.#take(JSON.parse(data));
      };
      socket.onclose = () => { clearInterval(watch); ended(alive); };
    });
  }

  #take({ type, message_id, payload }) {
    const id = (message_id ?? payload?.message_id)?.toLowerCase();
    if (type === "deliver" || type === "group_message") {
      if (!this.#seen.has(id)) this.show(type, id, payload);
      this.#seen.add(id); // keep it, and only then acknowledge it: each time
      this.#frame({ type: "delivery_ack", message_id: id });
    } else if (type === "sent_ack") {
      this.#outbox.delete(id);
      this.show("sent", id);
    } else if (type === "status_update") this.show(payload.status, id);
    else if (type === "ping") this.#frame({ type: "pong" });
    else if (type === "error") this.#fault(payload, id);
  }

  #fault({ error_code, reconnect, retry_after }, id) {
    if (error_code === "auth_failed" && !reconnect) this.close();
    else if (error_code === "rate_limited" || error_code === "server_error") {
      setTimeout(() => this.#again(), 1000 * (retry_after ?? 5));
    } else if (this.#outbox.delete(id)) this.show("failed", id); // again it would, too
  }

  #again() {
    for (const frame of this.#outbox.values()) this.#frame(frame);
  }

  #frame(frame) {
    const open = this.#socket?.readyState === WebSocket.OPEN;
    if (open) this.#socket.send(JSON.stringify(frame));
  }
}
