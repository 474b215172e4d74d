// Judges a frame as `relaykit validate` does: strict JSON first, then the schema of its own type.
// The build fails when a schema uses a keyword that is not implemented here.
const relayValidator = (() => {
  "use strict";
  const MAX_INTEGER = 2 ** 53;
  const TOKEN = /("(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")|([{}[\],:])|(-?(?:0|[1-9][0-9]*)((?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(?![0-9A-Za-z_.+-]))|((?:true|false|null)\b)|(-?(?:NaN|Infinity)\b)/y;
  const BLANK = /[ \t\n\r]*/y;
  const LONE = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
  const VALUE = "a value", KEY = "a key", COLON = "a colon", NEXT = "a comma or the end", END = "nothing more";

  const escapeKey = (key) => String(key).replaceAll("~", "~0").replaceAll("/", "~1");
  const kindOf = (value) => value === null ? "null" : Array.isArray(value) ? "an array"
    : { boolean: "a boolean", number: "a number", string: "a string", object: "an object" }[typeof value];
  const shorten = (value) => {
    if (typeof value === "string") return value.length > 60 ? `${JSON.stringify(value.slice(0, 60)).slice(0, -1)}…"` : JSON.stringify(value);
    if (value && typeof value === "object") return Array.isArray(value) ? `array (${value.length})` : `object (${Object.keys(value).length})`;
    return String(value);
  };
  const suggest = (word, known) => {
    let best = "", least = Math.max(2, Math.ceil(word.length * 0.4));
    for (const other of known) {
      if (Math.abs(other.length - word.length) >= least) continue;
      let row = [...Array(other.length + 1).keys()];
      for (let i = 1; i <= word.length; i++) {
        const next = [i];
        for (let j = 1; j <= other.length; j++) next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (word[i - 1] !== other[j - 1]));
        row = next;
      }
      if (row[other.length] < least) [least, best] = [row[other.length], other];
    }
    return best ? ` (did you mean '${best}'?)` : "";
  };

  class Fault extends Error {
    constructor(reason, message, at) { super(message); this.reason = reason; this.at = at; }
  }

  // Parses a text strictly. Gives the value, and for each JSON pointer where it stands: [from, to].
  function parse(text, maxDepth) {
    if (LONE.test(text)) throw new Fault("surrogate", "a lone surrogate: half of a character is missing", text.search(LONE));
    if (text.startsWith("\ufeff")) throw new Fault("bom", "a byte-order mark stands before the JSON text", 0);
    if (text.slice(0, 4).includes("\0")) throw new Fault("json", "not JSON: it looks like UTF-16, UTF-32 or binary data", 0);
    const places = new Map(), open = [];
    let state = VALUE, mayClose = false, at = 0, root;
    const here = () => open.length ? `${open.at(-1).pointer}/${escapeKey(open.at(-1).key)}` : "";
    const put = (value) => {
      const top = open.at(-1);
      if (!top) root = value;
      else if (top.keys) top.value[top.key] = value;
      else top.value.push(value);
    };
    for (;;) {
      BLANK.lastIndex = at; BLANK.test(text); at = BLANK.lastIndex;
      if (at === text.length) {
        if (state !== END) throw new Fault("json", `not JSON: it ends where ${state} should be`, at);
        return { value: root, places };
      }
      TOKEN.lastIndex = at;
      const found = TOKEN.exec(text);
      if (!found) {
        const shown = text[at] === '"' ? "a string that does not end, or holds a control character or a wrong escape," : /[\w.+-]{1,20}|[^]/.exec(text.slice(at))[0];
        throw new Fault("json", `not JSON: ${shown} where ${state} should be`, at);
      }
      const [token, string, mark, number, fraction, word, nan] = found;
      const wrong = () => new Fault("json", `not JSON: ${token.slice(0, 60)} where ${state} should be`, at);
      const top = open.at(-1);
      if (mark) {
        if ((mark === "}" || mark === "]") && top) {
          if (!((state === NEXT || mayClose) && !top.keys === (mark === "]"))) throw wrong();
          open.pop();
          places.get(top.pointer)[1] = at + 1;
          state = open.length ? NEXT : END;
        } else if ((mark === "{" || mark === "[") && state === VALUE) {
          if (open.length === maxDepth) throw new Fault("depth", `nested deeper than ${maxDepth} levels`, at);
          if (top && !top.keys) top.key = top.value.length;
          const pointer = here(), value = mark === "{" ? Object.create(null) : [];
          put(value);
          places.set(pointer, [at, at + 1]);
          open.push({ pointer, value, keys: mark === "{" ? new Set() : null, key: 0 });
          state = mark === "{" ? KEY : VALUE;
        } else if (mark === ":" && state === COLON) state = VALUE;
        else if (mark === "," && state === NEXT) state = top.keys ? KEY : VALUE;
        else throw wrong();
        mayClose = mark === "{" || mark === "[";
      } else if (state === KEY) {
        if (!string || !top.keys) throw wrong();
        const key = JSON.parse(token);
        if (LONE.test(key)) throw new Fault("surrogate", "a key with a lone surrogate", at);
        if (top.keys.has(key)) throw new Fault("duplicate-key", `the key ${shorten(key)} stands twice, again`, at);
        top.keys.add(key);
        top.key = key;
        [state, mayClose] = [COLON, false];
      } else if (state === VALUE) {
        if (nan) throw new Fault("nan", `${token} is not a JSON number`, at);
        if (number !== undefined) {
          if (fraction && !Number.isFinite(Number(token))) throw new Fault("nan", `the number ${token.slice(0, 60)} is infinite when read as a double`, at);
          if (!fraction && (token.length > 17 || BigInt(token) > MAX_INTEGER || BigInt(token) < -MAX_INTEGER)) throw new Fault("integer", `the integer ${token.slice(0, 60)} is beyond ±2^53`, at);
        }
        const value = JSON.parse(token);
        if (string && LONE.test(value)) throw new Fault("surrogate", "a string with a lone surrogate", at);
        if (top && !top.keys) top.key = top.value.length;
        places.set(here(), [at, at + token.length]);
        put(value);
        [state, mayClose] = [open.length ? NEXT : END, false];
      } else throw wrong();
      at += token.length;
    }
  }

  const days = (year, month) => [31, year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1] || 0;
  const FORMATS = {
    uuid: (text) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text),
    "date-time": (text) => {
      const m = /^(\d{4})-(\d\d)-(\d\d)t(\d\d):(\d\d):(\d\d)(\.\d+)?(z|[+-](\d\d):(\d\d))$/i.exec(text);
      if (!m) return false;
      const [year, month, day, hour, minute, second] = m.slice(1, 7).map(Number);
      return day >= 1 && day <= days(year, month) && hour < 24 && minute < 60 && (second < 60 || (second === 60 && hour === 23 && minute === 59)) && (!m[9] || (m[9] < 24 && m[10] < 60));
    },
    ipv4: (text) => /^\d+(\.\d+){3}$/.test(text) && text.split(".").every((part) => part < 256 && String(+part) === part),
    ipv6: (text) => {
      const tail = /[^:]*\.[^:]*$/.exec(text);
      if (tail) {
        if (!FORMATS.ipv4(tail[0])) return false;
        text = `${text.slice(0, tail.index)}0:0`;
      }
      const halves = text.split("::");
      if (halves.length > 2) return false;
      const groups = halves.flatMap((half) => half === "" ? [] : half.split(":"));
      return groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group)) && (halves.length === 2 ? groups.length < 8 : groups.length === 8);
    },
  };
  const isType = {
    string: (v) => typeof v === "string", number: (v) => typeof v === "number", integer: (v) => Number.isInteger(v),
    boolean: (v) => typeof v === "boolean", null: (v) => v === null, array: Array.isArray,
    object: (v) => v !== null && typeof v === "object" && !Array.isArray(v),
  };
  const canonical = (value) => JSON.stringify(value, (_, v) => isType.object(v) ? Object.fromEntries(Object.entries(v).sort()) : v);
  const patterns = new Map();
  const matches = (pattern, text) => {
    if (!patterns.has(pattern)) patterns.set(pattern, new RegExp(pattern, "u"));
    return patterns.get(pattern).test(text);
  };
  const size = (text) => [...text].length;

  // Every fault of a value: where it stands, the violated keyword, and the requirement named nearest to it.
  function faults(schema, value, path, requirement, defs) {
    if (schema === true) return [];
    const found = [];
    const rule = schema.x || requirement;
    const say = (keyword, branches) => found.push({ path, keyword, limit: schema[keyword], schema, requirement: rule, value, branches });
    const into = (sub, inner, where = path) => faults(sub, inner, where, rule, defs);
    for (const keyword of Object.keys(schema)) {
      const limit = schema[keyword];
      switch (keyword) {
        case "$ref": found.push(...into(defs[limit.slice(8)], value)); break;
        case "type": if (![limit].flat().some((name) => isType[name](value))) say(keyword); break;
        case "const": if (canonical(value) !== canonical(limit)) say(keyword); break;
        case "enum": if (!limit.some((option) => canonical(option) === canonical(value))) say(keyword); break;
        case "allOf": for (const part of limit) found.push(...into(part, value)); break;
        case "anyOf": case "oneOf": {
          const branches = limit.map((option) => into(option, value));
          const fitting = branches.filter((branch) => !branch.length).length;
          if (fitting === 0) say(keyword, branches);
          else if (keyword === "oneOf" && fitting > 1) say(keyword);
          break;
        }
        case "not": if (!into(limit, value).length) say(keyword); break;
        case "if": {
          const branch = into(limit, value).length ? schema.else : schema.then;
          if (branch !== undefined) found.push(...into(branch, value));
          break;
        }
        default:
          if (typeof value === "string") {
            if (keyword === "minLength" && size(value) < limit || keyword === "maxLength" && size(value) > limit ||
              keyword === "pattern" && !matches(limit, value) || keyword === "format" && !FORMATS[limit](value)) say(keyword);
          } else if (typeof value === "number") {
            if (keyword === "minimum" && value < limit || keyword === "maximum" && value > limit) say(keyword);
          } else if (Array.isArray(value)) {
            if (keyword === "items") value.forEach((item, i) => found.push(...into(limit, item, [...path, i])));
            else if (keyword === "minItems" && value.length < limit || keyword === "maxItems" && value.length > limit ||
              keyword === "uniqueItems" && limit && new Set(value.map(canonical)).size < value.length) say(keyword);
          } else if (isType.object(value)) {
            if (keyword === "required" && limit.some((name) => !(name in value))) say(keyword);
            else if (keyword === "properties") {
              for (const name of Object.keys(limit)) if (name in value) found.push(...into(limit[name], value[name], [...path, name]));
            } else if (keyword === "additionalProperties") {
              const extra = Object.keys(value).filter((name) => !Object.hasOwn(schema.properties || {}, name));
              if (limit === false) { if (extra.length) say(keyword); }
              else for (const name of extra) found.push(...into(limit, value[name], [...path, name]));
            }
          }
      }
    }
    return found;
  }

  const ARTICLES = { null: "null", integer: "an integer", object: "an object", array: "an array" };
  const kinds = (names, value) => `must be ${[...new Set(names)].map((name) => ARTICLES[name] || `a ${name}`).join(" or ")}, not ${kindOf(value)}`;
  const bound = (most, noun) => (limit, value) => limit === 1 && !most ? "must not be empty" : `must have at ${most ? "most" : "least"} ${limit} ${noun}${limit === 1 ? "" : "s"}, not ${typeof value === "string" ? size(value) : value.length}`;
  const SAY = {
    type: (limit, value) => kinds([limit].flat(), value),
    const: (limit) => `must be ${shorten(limit)}`,
    enum: (limit, value) => `must be one of ${limit.map(shorten).join(", ")}${typeof value === "string" ? suggest(value.slice(0, 64), limit) : ""}`,
    minLength: bound(false, "character"), maxLength: bound(true, "character"), minItems: bound(false, "item"), maxItems: bound(true, "item"),
    uniqueItems: () => "items must be distinct",
    minimum: (limit) => `must be at least ${limit}`, maximum: (limit) => `must be at most ${limit}`,
    not: (limit) => limit.pattern ? `must not match ${shorten(limit.pattern)}` : "must not be a value of this kind",
  };
  function expectation(keyword, limit, schema, value) {
    if (SAY[keyword]) return SAY[keyword](limit, value);
    const title = schema.title || "";
    if (keyword === "pattern") return `${title ? `${title} expected: ` : ""}must match ${limit}`;
    if (keyword === "format") return `${title ? `${title} expected: ` : ""}is not a valid ${limit}`;
    const titles = limit.map((option) => option.title || "");
    const named = titles.every(Boolean) ? `: ${titles.map(shorten).join(", ")}` : "";
    return `${title ? `${title}: ` : ""}must fit ${keyword === "anyOf" ? "one" : "exactly one"} of ${limit.length} forms${named}`;
  }

  const pointerOf = (path) => path.map((part) => `/${escapeKey(part)}`).join("");
  const same = (a, b) => a.length === b.length && a.every((part, i) => part === b[i]);

  // One fault as what a reader is told of it; of alternatives that all fail, the one that was meant.
  function* explain(fault, lenient, rules) {
    const { path, keyword, limit, schema, value, branches } = fault;
    const pointer = pointerOf(path);
    const finding = (word, message, over = {}) => ({ severity: "error", pointer, keyword: word, message, requirement: fault.requirement || rules.schema || null, ...over });
    if (branches) {
      const names = [], meant = [];
      for (const branch of branches) {
        const mistyped = branch.filter((inner) => inner.keyword === "type" && same(inner.path, path));
        names.push(...mistyped.flatMap((inner) => inner.limit));
        if (!mistyped.length) meant.push(branch);
      }
      if (meant.length === 1) { for (const inner of meant[0]) yield* explain(inner, lenient, rules); return; }
      const word = meant.length ? keyword : "type";
      const message = meant.length ? expectation(keyword, limit, schema, value) : kinds(names, value);
      yield { ...finding(word, message), branches: meant.length && meant.map((branch) => branch.map((inner) => pointerOf(inner.path))) };
    } else if (keyword === "required") {
      for (const name of limit) if (!(name in value)) yield finding(keyword, `${shorten(name)} is missing`);
    } else if (keyword === "additionalProperties") {
      for (const name of Object.keys(value)) {
        if (Object.hasOwn(schema.properties || {}, name)) continue;
        yield finding(keyword, `${shorten(name)} is not documented${suggest(name.slice(0, 64), Object.keys(schema.properties || {}))}`, {
          severity: lenient ? "warning" : "error", pointer: `${pointer}/${escapeKey(name)}`, requirement: rules.undocumented || fault.requirement || null,
        });
      }
    } else yield finding(keyword, expectation(keyword, limit, schema, value));
  }

  const ABOUT_TEXT = ["minLength", "pattern", "format", "maxLength", "not"];
  // Leaves out what is only another view of a fault that is told already; errors first, then by place.
  function told(drafts) {
    const places = new Set(drafts.filter((d) => !d.branches).map((d) => d.pointer));
    const implied = (d) => d.branches && d.branches.some((branch) => branch.every((p) => places.has(p) && p.startsWith(`${d.pointer}/`)));
    const found = drafts.filter((d) => !implied(d));
    const mistyped = new Set(found.filter((d) => d.keyword === "type").map((d) => d.pointer));
    const best = new Map();
    for (const d of found) {
      const rank = ABOUT_TEXT.indexOf(d.keyword);
      if (rank >= 0) best.set(d.pointer, Math.min(rank, best.get(d.pointer) ?? rank));
    }
    const kept = new Map();
    for (const { branches, ...d } of found) {
      if (d.keyword !== "type" && mistyped.has(d.pointer)) continue;
      const rank = ABOUT_TEXT.indexOf(d.keyword);
      if (rank >= 0 && best.get(d.pointer) !== rank) continue;
      const key = [d.pointer, d.keyword, d.message].join("\0");
      if (!kept.has(key)) kept.set(key, d);
    }
    const order = (d) => [d.severity, d.pointer, d.keyword, d.message].join("\0");
    return [...kept.values()].sort((a, b) => order(a) < order(b) ? -1 : 1);
  }

  // The verdict on a text: {valid, type, value, findings, places, at}; `at` is where a fault of JSON itself stands.
  function validate(text, direction, schemas) {
    const rules = schemas.faults[direction];
    const end = (findings, more = {}) => ({ valid: findings.every((f) => f.severity !== "error"), type: null, value: null, places: new Map(), findings, ...more });
    const one = (keyword, message, pointer, rule) => [{ severity: "error", pointer, keyword, message, requirement: rule || null }];
    let parsed;
    try { parsed = parse(text, schemas.depth); } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return end(one(error.reason, error.message, "", rules[error.reason]), { at: error.at });
    }
    const { value, places } = parsed;
    if (!isType.object(value)) return end(one("object", `a frame is a JSON object, not ${kindOf(value)}`, "", rules.object), { at: 0 });
    const more = { value, places };
    if (!("type" in value)) return end(one("type", 'has no "type", which names the frame and chooses its schema', "", rules["type-missing"]), more);
    const name = value.type, other = direction === "c2s" ? "s2c" : "c2s";
    if (typeof name !== "string") return end(one("type", `must be a string, not ${kindOf(name)}`, "/type", rules["type-missing"]), more);
    if (!Object.hasOwn(schemas.frames[direction], name)) {
      if (Object.hasOwn(schemas.frames[other], name)) return end(one("type", `${shorten(name)} is a type that only a ${direction === "c2s" ? "server" : "client"} sends (${other})`, "/type", rules["type-direction"]), more);
      return end(one("type", `unknown type ${shorten(name)}${suggest(name.slice(0, 64), Object.keys(schemas.frames[direction]))}`, "/type", rules["type-unknown"]), more);
    }
    const drafts = [];
    for (const fault of faults(schemas.frames[direction][name], value, [], null, schemas.defs)) drafts.push(...explain(fault, direction === "s2c", rules));
    return end(told(drafts), { ...more, type: name });
  }

  return { parse, validate, Fault };
})();
if (typeof module !== "undefined") module.exports = relayValidator;
