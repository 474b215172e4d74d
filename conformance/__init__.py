"""The conformance suite: judges a server by the protocol's requirements, over the wire and by nothing else.

The way of a run, each stop a module: `loader` (with `checks`) reads scenarios into the values of `grammar`,
`registry` collects probes; `cases` makes cases of both and selects; `preflight` looks whether there is a
target; `schedule` runs cases side by side, each with a `context` of fresh users; `steps` (with `awaiting`,
`alternatives`, `fence`) walks through a scenario, probes use `talk` and `refusal`; `wire` carries, `record`
writes down and checks every frame that arrives; `judge` makes verdicts; `report` and `terminal` show them.
"""
