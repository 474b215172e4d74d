"""`relaykit init`: a commented target file from a few answers."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from relaykit.config import parse_yaml, problems
from relaykit.conformance.target import target_schema
from relaykit.errors import KitDefect
from relaykit.schemas import Catalogue

TOKENS = {
    "mint": "the suite signs them, with the server's key",
    "fetch-http": "an HTTP interface gives them out",
    "fetch-command": "a command prints them",
    "identities": "fixed users with tokens that exist",
}
CONTROLS = {
    "none": "nothing: cases with groups and devices stay untestable",
    "http": "an HTTP interface of the server's test build",
    "command": "a command that speaks JSON lines",
    "python": "a Python class",
}


@dataclass(frozen=True, slots=True)
class Answers:
    """What a target file is made of.

    Attributes:
        tokens, control: keys of `TOKENS` and `CONTROLS`.
        capabilities: those that the server has; None: the suite is to try.
    """

    url: str
    name: str | None = None
    tokens: str = "mint"
    algorithm: str = "HS256"
    control: str = "none"
    capabilities: Collection[str] | None = None


def target_text(answers: Answers, catalogue: Catalogue) -> str:
    """The target file.

    Raises:
        UsageError: an answer does not fit.
    """
    protocol = catalogue.protocol
    optional = [c for c in protocol.capabilities.values() if not c.required]
    lines = [
        "# What `relaykit test -t FILE` has to know of the server; `relaykit doctor -t FILE` tries it.",
        *([f"name: {json.dumps(answers.name)}"] if answers.name else []),
        f"url: {json.dumps(answers.url)}",
        *_tls(answers),
        '# headers: {Origin: "https://app.example.org"}  # of every handshake',
        "",
        "# Where the tokens of the suite's users come from. Secrets stay outside: {env: NAME}, {file: PATH}.",
        "tokens:",
        *_tokens(answers),
        "",
        "# How the suite arranges what frames cannot: users, contacts, groups, conversations, devices.",
        *_control(answers),
        "",
        "# What the server serves. true, but not served: a failure. false: its cases do not apply.",
        "# probe: the suite tries it before the first case of each run, and says what it found.",
        "capabilities:",
        *(f"  {c.name}: {_served(answers, c.name)}  # {c.title}" for c in optional),
        "",
        "# The server's own limits, where they can be judged. What is not stated is not judged.",
        "# limits:",
        *(
            f"#   {n}: {limit.default:g}  # {limit.title}"
            for n, limit in protocol.limits.items()
            if not limit.fixed
        ),
        "",
        "# How long the suite waits, and the server's own times.",
        "# timing:",
        "#   reply_ms: 2000  # an answer must have come",
        "#   quiet_ms: 50  # what must not come is waited for, after a fence",
        *(f"#   {name}: {time.default:g}  # {time.title}" for name, time in protocol.timing.items()),
        "",
        "# For servers that limit how often clients connect or send.",
        "# pacing: {connections_per_second: 10, frames_per_second: 20}",
        "",
        "# Known failures, each with its reason. They do not fail the run; one that passes does.",
        "# expected_failures:",
        '#   - {requirement: ID, reason: what is planned, until: "2030-12-31"}',
    ]
    text = "\n".join(line.rstrip() for line in lines) + "\n"
    wrong = problems(parse_yaml(text, "the target file"), target_schema(catalogue))
    own = [problem for problem in wrong if not problem.pointer.startswith(("/url", "/name"))]
    if own:
        raise KitDefect("\n".join(map(str, own)))
    return text


def _served(answers: Answers, name: str) -> str:
    if answers.capabilities is None:
        return "probe"
    return "true" if name in answers.capabilities else "false"


def _tls(answers: Answers) -> list[str]:
    if not answers.url.startswith("wss:"):
        return []
    return [
        "# tls:",
        "#   ca_file: ca.pem  # an authority that the system does not trust",
        "#   certificate: client.pem  # for servers that ask clients for one",
        "#   key: client-key.pem",
    ]


def _tokens(answers: Answers) -> list[str]:
    match answers.tokens:
        case "mint" if answers.algorithm == "HS256":
            key = "secret: {env: RELAYKIT_SECRET}"
        case "mint":
            key = "key: {file: private-key.pem}  # the private key"
        case "fetch-http":
            return [
                "  fetch:",
                "    http:  # {user_id} and {device_id} stand for those of a user that the suite made up",
                "      url: http://127.0.0.1:8080/tokens",
                "      method: POST",
                '      body: {user_id: "{user_id}", device_id: "{device_id}"}',
                "      pointer: /token  # where it is in the answer; without this, the answer is the token",
                "      # bearer: {env: ISSUER_TOKEN}",
            ]
        case "fetch-command":
            return [
                "  fetch:",
                "    command:  # prints the token of a user and a device that the suite made up",
                '      run: [./issue-token, "{user_id}", "{device_id}"]',
            ]
        case _:
            return [
                "  identities:  # cases that need more users or devices are untestable",
                "    - user_id: 00000000-0000-4000-8000-000000000001",
                "      devices:",
                "        - {device_id: 00000000-0000-4000-8000-00000000000a, token: {env: FIRST_TOKEN}}",
                "    - user_id: 00000000-0000-4000-8000-000000000002",
                "      devices:",
                "        - {device_id: 00000000-0000-4000-8000-00000000000b, token: {env: SECOND_TOKEN}}",
            ]
    return [
        "  mint:",
        f"    algorithm: {answers.algorithm}",
        f"    {key}",
        "    # claims: {iss: …, aud: …}  # further claims that the server wants",
        "    # headers: {kid: …}",
    ]


def _control(answers: Answers) -> list[str]:
    match answers.control:
        case "http":
            return [
                "control:",
                "  http:  # POST <url>/<operation>, JSON both ways",
                "    url: http://127.0.0.1:8788",
                "    token: {env: RELAYKIT_CONTROL_TOKEN}",
            ]
        case "command":
            return [
                "control:",
                "  command:  # one JSON object per line in, one out",
                "    run: [python3, control.py]",
                "    # operations: [create_user, create_group]  # those it offers",
            ]
        case "python":
            return ["control:", "  python:", "    adapter: control.py:Adapter  # a method per operation"]
        case _:
            return [
                "# control:",
                '#   http: {url: "http://127.0.0.1:8788", token: {env: RELAYKIT_CONTROL_TOKEN}}',
            ]


def url_problem(url: str, catalogue: Catalogue) -> str:
    """What is wrong with an address, or an empty string."""
    text = f"url: {json.dumps(url)}\ntokens: {{mint: {{secret: {{value: x}}}}}}\n"
    return "; ".join(problem.message for problem in problems(parse_yaml(text), target_schema(catalogue)))
