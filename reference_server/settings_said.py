"""What is wrong with a configuration, in words that say what to write, and that repeat no secret."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from relaykit.config import Document, Problem
from relaykit.pointers import escape
from relaykit.schemas import Protocol

SECRETS = ("keys", "control_token")
"""Settings that are named by where they are to be found; no variable of ours holds them."""

_NO_SECRETS = (
    "names where a secret is, as {env: NAME} or {file: PATH} (a key: {algorithm: …, secret: {env: NAME}});"
    " the secret itself does not belong here"
)
_KINDS = ("secret", "pem", "jwks")
_UNKNOWN = "unknown key "


def explained(found: Iterable[Problem], data: Any, protocol: Protocol) -> list[Problem]:
    """Problems of a configuration (or of some of its settings) as people are to read them."""
    said = {
        _of_secrets(problem, data, protocol) if _names_secret(problem, data) else _of_fixed(problem, protocol)
        for problem in found
    }
    return sorted(said, key=lambda problem: (problem.line, problem.pointer, problem.message))


def zero_bytes(document: Document, value: Any, pointer: str = "") -> Iterator[Problem]:
    """The texts that hold a zero byte: no name of a file, a host or anything else does."""
    if isinstance(value, str) and "\0" in value:
        yield Problem(document.path, document.line(pointer), pointer, "a zero byte stands in it")
    elif isinstance(value, (Mapping, list, tuple)):
        for key, inner in value.items() if isinstance(value, Mapping) else enumerate(value):
            yield from zero_bytes(document, inner, f"{pointer}/{escape(str(key))}")


def why_fixed(section: str, name: str, protocol: Protocol) -> str | None:
    """Why a limit or interval cannot be set, if it is one of those."""
    limit = getattr(protocol, section, {}).get(name)
    if limit is None or not limit.fixed:
        return None
    return f"the protocol fixes {name} at {limit.default:g}, for every server alike; it cannot be set"


def _of_fixed(problem: Problem, protocol: Protocol) -> Problem:
    section, _, name = problem.pointer.removeprefix("/").partition("/")
    why = why_fixed(section, name, protocol) if section in ("limits", "timing") else None
    return problem if why is None else replace(problem, message=why)


def _names_secret(problem: Problem, data: Any) -> bool:
    setting = (problem.pointer.split("/")[1:] or [""])[0]
    return setting in SECRETS and not (problem.pointer == "/keys" and data["keys"] == [])


def _of_secrets(problem: Problem, data: Mapping[str, Any], protocol: Protocol) -> Problem:
    """Anything within these may be a secret in the wrong place, names of keys included."""
    setting, *parts = problem.pointer.split("/")[1:]
    if problem.message.startswith(_UNKNOWN):
        # What is nearly the name of a key is one, misspelt.
        parent, _, _ = problem.pointer.rpartition("/")
        near = "did you mean" in problem.message
        return problem if near else replace(problem, pointer=parent, message=_NO_SECRETS)
    key = data["keys"][int(parts[0])] if setting == "keys" and parts else None
    if not isinstance(key, Mapping):
        return replace(problem, message=_NO_SECRETS)
    match parts[1:]:
        case []:
            return replace(problem, message=_of_kinds(key, protocol))
        case ["algorithm"]:
            return replace(problem, message=_of_algorithm(key, protocol) or problem.message)
        case ["kid"]:
            of_set = "the keys of a jwks bring their own names: leave kid out"
            return replace(problem, message=of_set if "jwks" in key else problem.message)
    return replace(problem, message=_NO_SECRETS)


def _of_kinds(key: Mapping[str, Any], protocol: Protocol) -> str:
    kinds = [kind for kind in _KINDS if kind in key]
    if not kinds:
        return (
            "a key needs secret (a shared one), pem (a public key) or jwks (a set of keys), each as"
            " {env: NAME} or {file: PATH}"
        )
    if len(kinds) > 1:
        return f"{' and '.join(kinds)} are different keys: list each as one of its own"
    return f"algorithm is missing: one of {', '.join(_fitting(kinds[0], protocol))}"


def _of_algorithm(key: Mapping[str, Any], protocol: Protocol) -> str | None:
    """Why a known algorithm does not fit this key."""
    algorithm = key["algorithm"]
    if algorithm not in protocol.algorithms:
        return None
    kind = "pem" if "pem" in key else "secret"
    other = "secret" if kind == "pem" else "pem"
    fitting = ", ".join(_fitting(kind, protocol))
    return f"{algorithm} is not for a {kind}: write {other} in its place, or one of {fitting} as algorithm"


def _fitting(kind: str, protocol: Protocol) -> list[str]:
    """The algorithms of a kind of key: of those with a shared secret, HMAC, the names begin with HS."""
    return [name for name in protocol.algorithms if name.startswith("HS") is (kind == "secret")]
