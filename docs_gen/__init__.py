"""The protocol's documentation, rendered from the catalogue, the scenarios and a few guides.

The way of a page: *resolve* (`site`, and a module per concept: `frames`, `fields`, `examples`,
`requirements`, `defects`, `sequence`, `states`, `guides` with their generated `parts` and, for those who
write servers, `serving`) makes a typed view model (`model`, `diagrams`) in which every link is known; `pages`
says which pages there are; `render` draws them through templates that only draw, with a pen (`pen`) that
knows how links, IDs and inline texts look in HTML, in one file, or in Markdown; `downloads` adds what
machines find; `build` puts files together. Nothing is written twice: a description stands in a schema, a rule
in a requirement, an example in a schema or vector, a number in `protocol.yaml`; guides only add what connects
them. `diff` compares two editions.

How requirements and cases find each other: a scenario names requirements at its steps (`req`), a probe in
its decorator. `listing` asks the suite for all of them (`relaykit.conformance.cases.load_cases`, the same
list that `relaykit list` shows), `kept` keeps the answer for the next build, `requirements` turns it round
into "proved by", and `suite.read_report` adds how each case and requirement ended when
`relaykit test --report json=…` last ran. A requirement without a case shows its `untested` reason, or
that there is none yet.

The validator in the pages (`static/validator.js`) interprets the bundled schemas itself. `script_schemas`
fails the build at a keyword that it does not implement, and a test compares it with the catalogue on every
vector. What the search looks through (`entries`) is data, never script: `search.json`, the same inside
`assets/search.html` for pages opened from a file, and in a single file beside the sections. The console
takes what `relaykit serve --dev` may put in place of the `null` in `<script type="application/json"
id="relay-dev">` of console.html, with `<` written as `\\u003c`: see console.js. The server finds the pages
through the entry-point group `relaykit.pages`.
"""
