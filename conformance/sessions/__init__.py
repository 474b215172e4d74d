"""Fuzzed sessions: a model of the protocol drives a real server, and says what everybody may and must get.

`state` holds the plain data, `model` (with `messaging`, `signaling`, `relays`) says what a step leads to,
`moves` which steps are possible, `judging` and `problems` compare that with what arrived, `blame` names the
requirement that a frame breaks which nobody expected. None of these knows of sockets or of Hypothesis.
`driver` has the sockets, `lab` the thread they live in, `machine` is the state machine, `hunt` runs it, and
`writing` makes a scenario of a failure; `differing` plays the same sessions to two targets.
"""
