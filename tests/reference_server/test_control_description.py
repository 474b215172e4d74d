"""The description of the control interface: an OpenAPI document, which says what is served."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from support.control import bench
from support.server import in_loop, new_group, new_id

from relaykit.errors import UsageError
from relaykit.reference_server.control_operations import OPERATIONS
from relaykit.schemas import Operation, control_operations, thaw
from relaykit.schemas.loading import HERE

OPENAPI = HERE / "control.openapi.yaml"


def resolve(document: Any, node: Any) -> Any:
    """What a local reference of the document points to; the node itself if it is none."""
    while isinstance(node, dict) and str(node.get("$ref", "")).startswith("#/"):
        reference = node["$ref"]
        node = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
    return node


def openapi_faults(document: Any) -> list[str]:
    """What makes a document no OpenAPI 3.1, as far as this one uses it."""
    faults = []
    if set(document) - {"openapi", "info", "servers", "security", "paths", "components"}:
        faults.append("unknown field at the top")
    if not document["openapi"].startswith("3.1.") or not {"title", "version"} <= set(document["info"]):
        faults.append("openapi or info")
    schemes = document["components"]["securitySchemes"]
    faults += [f"security {name}" for one in document["security"] for name in one if name not in schemes]
    used: set[str] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            reference = node.get("$ref")
            if isinstance(reference, str) and reference.startswith("#/"):
                used.add(reference)
                resolve(document, node)
                if set(node) != {"$ref"}:
                    faults.append(f"{reference} beside siblings")
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(document["paths"])
    walk(document["components"])
    for kind in ("schemas", "requestBodies", "responses"):
        faults += [
            f"unused {kind}/{name}"
            for name in document["components"][kind]
            if f"#/components/{kind}/{name}" not in used
        ]
    names = []
    for item in document["paths"].values():
        operation = item["post"]
        names.append(operation["operationId"])
        bodies = [operation["requestBody"], *operation["responses"].values()]
        for body in (resolve(document, one) for one in bodies):
            if set(body) - {"description", "required", "content"}:
                faults.append(f"{names[-1]}: unknown field of a body")
            jsonschema_rs.meta.validate(body["content"]["application/json"]["schema"])
        for status, response in operation["responses"].items():
            if not (status.isdecimal() and len(status) == 3) or "description" not in resolve(
                document, response
            ):
                faults.append(f"{names[-1]}: response {status}")
    return faults + [f"{name} twice" for name in set(names) if names.count(name) > 1]


def test_the_description_is_an_openapi_document() -> None:
    document = yaml.safe_load(OPENAPI.read_text())
    assert openapi_faults(document) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("openapi",), "3.0.0"),
        (("security",), [{"other": []}]),
        (("components", "responses", "more"), {"description": "unused"}),
        (("paths", "/reset", "post", "operationId"), "create_user"),
        (("paths", "/reset", "post", "responses", "ok"), {"description": "no status"}),
        (("paths", "/reset", "post", "requestBody", "contents"), {}),
    ],
)
def test_the_check_of_the_description_finds_faults(path: tuple[str, ...], value: Any) -> None:
    document = copy.deepcopy(yaml.safe_load(OPENAPI.read_text()))
    node = document
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value
    faults = []
    try:
        faults = openapi_faults(document)
    except (KeyError, TypeError, ValueError) as error:
        faults = [str(error)]
    assert faults


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("operationId: reset", "operationId: forget", "forget"),
        ("x-exclusive: true", "x-exclusiv: true", "x-exclusiv"),
        ("operationId: reset", "tags: []\n      operationId: reset", "unknown key 'tags'"),
        ("  /reset:\n", "  /reset:\n    get: {}\n", "unknown key 'get'"),
        ("#/components/requestBodies/device", "#/components/requestBodies/devise", "no schema"),
        ("types.schema.json#/$defs/groupId", "types.schema.json#/$defs/groupID", "groupId"),
        ("type: boolean", "type: bool", "JSON Schema"),
    ],
)
def test_a_broken_description_is_refused_with_its_place(
    tmp_path: Path, old: str, new: str, named: str
) -> None:
    text = OPENAPI.read_text()
    assert old in text
    (tmp_path / OPENAPI.name).write_text(text.replace(old, new))
    (tmp_path / "types.schema.json").write_text((HERE / "types.schema.json").read_text())
    with pytest.raises(UsageError, match=named) as refused:
        control_operations(tmp_path)
    assert OPENAPI.name in str(refused.value)


def test_what_is_described_is_what_is_served() -> None:
    assert set(OPERATIONS) == set(control_operations())
    for operation in control_operations().values():  # what any request may come to
        assert {200, 400, 401, 408, 413, 500} <= set(operation.statuses), operation.name


def test_the_core_of_the_interface_is_not_optional() -> None:
    operations = control_operations().values()
    assert {operation.name for operation in operations if not operation.optional} == {
        *("create_user", "add_contact", "create_group", "add_member", "remove_member", "conversation"),
        *("request_device_approval", "decide_device_approval", "revoke_device"),
    }
    assert {operation.name for operation in operations if operation.exclusive} == {
        *("advance_clock", "inject_fault", "set_faults", "reset"),
    }


def example(operation: Operation) -> dict[str, Any]:
    """A request with all that is required, every ID a new one."""
    named = {"user_id": new_id(), "contact_id": new_id(), "device_id": new_id(), "members": [new_id()]}
    named |= {
        "group_id": new_group(),
        "request_id": f"req-{new_id()}",
        "approved": True,
        "seconds": 0,
        "count": 0,
        "faults": [],
    }
    request = {name: named[name] for name in operation.request.get("required", ())}
    return {"members": [new_id()]} if operation.name == "conversation" else request


@in_loop
async def test_every_operation_answers_as_described_and_refuses_what_is_not() -> None:
    async with bench() as control:
        for operation in control_operations().values():
            request = example(operation)
            status, answer = await control.call(operation.name, **request)
            assert status in operation.statuses, (operation.name, status, answer)
            if status == 200:
                jsonschema_rs.validate(thaw(operation.response), answer)
            error = await control.refused(400, operation.name, **request, surplus=1)
            assert "surplus" in error
            for name in operation.request.get("required", ()):
                error = await control.refused(400, operation.name, **{**request, name: {"no": "such type"}})
                assert name in error
                less = {key: value for key, value in request.items() if key != name}
                assert name in await control.refused(400, operation.name, **less)
