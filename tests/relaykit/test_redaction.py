"""No token and no secret survives redaction."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote

import pytest

from relaykit.errors import UnreachableError
from relaykit.redaction import REDACTED, Redactor
from relaykit.tokens import mint

TOKEN = mint(user_id="u", device_id="d", key="k" * 32)


@pytest.mark.parametrize(
    "text",
    [
        f"GET /ws?token={TOKEN} HTTP/1.1",
        f"Authorization: Bearer {TOKEN}",
        f"Sec-WebSocket-Protocol: Bearer, {TOKEN}",
        f"cut off: {TOKEN[:60]}",
        f'{{"echo": "{TOKEN}"}}',
    ],
)
def test_tokens_go_wherever_they_stand(text: str) -> None:
    cleaned = Redactor().text(text)
    assert REDACTED in cleaned
    assert TOKEN.split(".")[1][:20] not in cleaned
    assert TOKEN[:12] not in cleaned


def test_a_token_that_is_no_jwt_goes_from_a_url_and_a_header() -> None:
    redactor = Redactor()
    assert "opaque-123456" not in redactor.text("ws://host/ws?a=1&token=opaque-123456&b=2")
    assert redactor.text("ws://host/ws?token=x&b=2").endswith("&b=2")
    assert "opaque-123456" not in redactor.text("authorization: bearer opaque-123456")


def test_parts_of_a_registered_token_and_its_base64_go() -> None:
    redactor = Redactor()
    redactor.add(TOKEN)
    head, body, signature = TOKEN.split(".")
    encoded = base64.b64encode(TOKEN.encode()).decode()
    shown = redactor.text(f"{signature} | {head} | {body} | {encoded} | {TOKEN}")
    assert shown == " | ".join([REDACTED] * 5)


def test_registered_secrets_go_also_from_nested_values() -> None:
    redactor = Redactor("hunter2hunter2")
    assert redactor.deep({"a": ["x hunter2hunter2 y"], "hunter2hunter2": 1, "n": None}) == {
        "a": [f"x {REDACTED} y"],
        REDACTED: 1,
        "n": None,
    }


OPAQUE = 'opq.Zm9v/+=&a<b>~"x'


@pytest.mark.parametrize("many", [0, 500])
@pytest.mark.parametrize(
    "said",
    [
        quote(OPAQUE),
        quote(OPAQUE, safe=""),
        quote(OPAQUE, safe="").lower().replace("zm9v", "Zm9v"),
        quote(quote(OPAQUE)),
        quote(quote(OPAQUE, safe=""), safe=""),
        quote(quote(OPAQUE, safe="").lower().replace("zm9v", "Zm9v"), safe=""),
        OPAQUE.encode().hex(),
        OPAQUE.encode().hex().upper(),
        json.dumps(OPAQUE)[1:-1],
        json.dumps(OPAQUE)[1:-1].replace("/", "\\/"),
        html.escape(OPAQUE),
        base64.b64encode(OPAQUE.encode()).decode(),
        base64.urlsafe_b64encode(OPAQUE.encode()).decode().rstrip("="),
    ],
)
def test_a_secret_goes_in_every_spelling_that_a_server_may_repeat_it_in(said: str, many: int) -> None:
    redactor = Redactor(OPAQUE, *(f"other-secret-{number:03}" for number in range(many)))
    assert redactor.text(f"you sent [{said}]") == f"you sent [{REDACTED}]"
    assert redactor.text("you sent nothing, other-secret") == "you sent nothing, other-secret"


def test_a_secret_goes_from_the_midst_of_base64() -> None:
    redactor = Redactor("hunter2hunter2")
    for before in ("", "a", "ab", "abc"):
        hidden = base64.b64encode(f"{before}hunter2hunter2, it was".encode()).decode()
        assert REDACTED in redactor.deep({"payload": hidden}, opaque=True)["payload"]
        shown = redactor.text(hidden).replace(REDACTED, "====")
        assert b"unter" not in base64.b64decode(shown + "==", validate=False)


def test_ordinary_text_stays() -> None:
    text = "Bearer selected; the token is missing; ciphertext eyJ"
    assert Redactor("abc").text(text) == text


def test_a_secret_counts_from_six_letters_on() -> None:
    assert Redactor("abcde", "uvwxyz").text("abcde uvwxyz") == f"abcde {REDACTED}"
    many = Redactor("uvwxyz", *(f"other-secret-{number:03}" for number in range(500)))
    assert many.text("abcde uvwxyz") == f"abcde {REDACTED}"


def test_what_is_opaque_in_a_frame_stays_unless_it_holds_a_token() -> None:
    text = base64.b64encode(b'{"text":"hello to you"}').decode()
    twice = base64.b64encode(text.encode()).decode()
    hidden = base64.b64encode(TOKEN.encode()).decode()
    redactor = Redactor("c2VjcmV0c2VjcmV0")
    values = [text, twice, twice.rstrip("="), twice[:-3], f"A{twice}", "x.y", "hello"]
    assert redactor.deep({"payload": values}, opaque=True) == {"payload": values}
    assert redactor.deep([text, twice]) == [f"{REDACTED}=", REDACTED]
    for secret in (TOKEN, TOKEN[:60], hidden, f"A{hidden}", f"A{hidden[:120]}", "AAAAc2VjcmV0c2VjcmV0"):
        assert REDACTED in redactor.deep({"payload": secret}, opaque=True)["payload"], secret


def test_an_error_keeps_its_kind_and_loses_its_secrets() -> None:
    redactor = Redactor("a-long-secret")
    clean = redactor.error(UnreachableError("it says a-long-secret", hint="it wrote a-long-secret"))
    assert isinstance(clean, UnreachableError)
    assert (str(clean), clean.hint) == (f"it says {REDACTED}", f"it wrote {REDACTED}")
    assert redactor.error(UnreachableError("nobody there")).hint is None
