"""Derived cases: what the frame schemas forbid and permit, each constraint once, from the catalogue alone.

The way: `places` finds every place of a client's frame and the constraints that hold there; `violations`
and `boundaries` make a frame for each of them, `faults` what no schema speaks of (bytes, envelopes, types);
`binding` puts identifiers of the case's own users into them; `family` names them, has them judged by the
catalogue, and makes cases; `play` sends one and judges what comes of it, on connections that `stations`
lends.
"""
