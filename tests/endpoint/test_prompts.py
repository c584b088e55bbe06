"""Prompts: what is let in, and that a refusal says where and what."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.doubles.scripted_model import ScriptedModel
from tests.endpoint.function import Function

Scripted = Callable[..., tuple[Function, ScriptedModel]]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


PNG = b64(b"\x89PNG\r\n\x1a\n...")
PDF = b64(b"%PDF-1.7 ...")

ALLOWED = [
    {"text": "Hi"},
    {"image": {"format": "png", "source": {"bytes": PNG}}},
    {"image": {"format": "jpeg", "source": {"bytes": b64(b"\xff\xd8\xff\xe0...")}}},
    {"image": {"format": "gif", "source": {"bytes": b64(b"GIF89a...")}}},
    {"image": {"format": "webp", "source": {"bytes": b64(b"RIFF....WEBP")}}},
    {"document": {"format": "pdf", "name": "Report [2026] (final)", "source": {"bytes": PDF}}},
    {"document": {"format": "csv", "name": "numbers", "source": {"bytes": b64(b"a,b\n1,2\n")}}},
    {
        "document": {
            "format": "md",
            "name": "notes",
            "source": {"bytes": b64(b"# Notes")},
            "context": "Minutes of a meeting.",
            "citations": {"enabled": True},
        }
    },
    {"video": {"format": "mp4", "source": {"bytes": b64(b"....ftyp")}}},
]


@pytest.mark.parametrize("block", ALLOWED)
def test_every_allowed_block_reaches_the_model_with_real_bytes(block: dict[str, Any], scripted: Scripted) -> None:
    function, model = scripted("I see.")

    function.reply([{"text": "Look:"}, block])

    sent = model.requests[0].messages[0]["content"][1]
    kind = next(iter(block))
    if kind == "text":
        assert sent == block
    else:
        expected = {**block[kind], "source": {"bytes": base64.b64decode(block[kind]["source"]["bytes"])}}
        assert sent == {kind: expected}


def test_a_cache_point_may_stand_beside_text(scripted: Scripted) -> None:
    function, model = scripted("Fine.")

    function.reply([{"text": "A long manual"}, {"cachePoint": {"type": "default"}}])

    assert model.requests[0].messages[0]["content"][1] == {"cachePoint": {"type": "default"}}


REFUSED = [
    ({"toolUse": {"toolUseId": "t", "name": "calculator", "input": {}}}, "body.prompt.0", "exactly one of text"),
    ({"toolResult": {"toolUseId": "t", "content": []}}, "body.prompt.0", "exactly one of text"),
    ({"reasoningContent": {"reasoningText": {"text": "x"}}}, "body.prompt.0", "exactly one of text"),
    ({"interruptResponse": {"interruptId": "i", "response": 1}}, "body.prompt.0", "exactly one of text"),
    ({"text": "a", "image": {}}, "body.prompt.0", "exactly one of text"),
    ({}, "body.prompt.0", "exactly one of text"),
    ("Hi", "body.prompt.0", "exactly one of text"),
    ({"role": "user", "content": [{"text": "Hi"}]}, "body.prompt.0", "exactly one of text"),
    ({"text": " "}, "body.prompt.0", "must not be blank"),
    ({"text": None}, "body.prompt.0", "must not be null"),
    ({"text": 7}, "body.prompt.0.text", "string"),
    ({"text": "half \ud83d"}, "body.prompt.0.text", "surrogates"),
    ({"image": {"format": "bmp", "source": {"bytes": PNG}}}, "body.prompt.0.image.format", "'png'"),
    ({"image": {"format": "png", "source": {"bytes": "%%%"}}}, "body.prompt.0.image.source.bytes", "base64"),
    ({"image": {"format": "png", "source": {"bytes": PNG[:-1]}}}, "body.prompt.0.image.source.bytes", "base64"),
    ({"image": {"format": "png", "source": {"bytes": ""}}}, "body.prompt.0.image.source.bytes", "base64"),
    ({"image": {"format": "png", "source": {"bytes": 7}}}, "body.prompt.0.image.source.bytes", "base64"),
    ({"image": {"format": "jpeg", "source": {"bytes": PNG}}}, "body.prompt.0.image", "not a jpeg image"),
    ({"image": {"format": "png", "source": {}}}, "body.prompt.0.image.source.bytes", "required"),
    (
        {"image": {"format": "png", "source": {"location": {"type": "s3", "uri": "s3://b/k"}}}},
        "body.prompt.0.image.source.location",
        "not permitted",
    ),
    (
        {"document": {"format": "txt", "name": "x", "source": {"location": {"type": "s3", "uri": "s3://b/o_/k"}}}},
        "body.prompt.0.document.source.location",
        "not permitted",
    ),
    ({"document": {"format": "pdf", "source": {"bytes": PDF}}}, "body.prompt.0.document.name", "required"),
    (
        {"document": {"format": "pdf", "name": "a/b.pdf", "source": {"bytes": PDF}}},
        "body.prompt.0.document.name",
        "pattern",
    ),
    (
        {"document": {"format": "pdf", "name": "two  spaces", "source": {"bytes": PDF}}},
        "body.prompt.0.document.name",
        "pattern",
    ),
    ({"document": {"format": "pdf", "name": "x", "source": {"bytes": PNG}}}, "body.prompt.0.document", "not a pdf"),
    ({"video": {"format": "avi", "source": {"bytes": PNG}}}, "body.prompt.0.video.format", "'mp4'"),
    ({"cachePoint": {"type": "default"}}, "body.prompt", "more than cache points"),
]


@pytest.mark.parametrize(("block", "location", "words"), REFUSED)
def test_a_refused_block_is_named_with_its_place_and_the_rule(
    block: Any, location: str, words: str, scripted: Scripted
) -> None:
    function, model = scripted()

    refused = function.say([block])

    assert (refused.status, refused.problem) == (422, "invalid-request")
    errors = {error["location"]: error["detail"] for error in refused.json["errors"]}
    assert words in errors[location], errors
    assert refused.json["detail"].startswith(f"{refused.json['errors'][0]['location']}: ")
    assert model.requests == []


def test_every_wrong_place_is_named_at_once(scripted: Scripted) -> None:
    function, _ = scripted()

    refused = function.say([{"text": " "}, {"text": "fine"}, {"image": {"format": "bmp"}}])

    assert [error["location"] for error in refused.json["errors"]] == [
        "body.prompt.0",
        "body.prompt.2.image.format",
        "body.prompt.2.image.source",
    ]
    assert "2 more" in refused.json["detail"]


def test_a_refusal_does_not_repeat_what_was_sent(scripted: Scripted) -> None:
    function, _ = scripted()

    for body in ({"prompt": [{"text": "s3cret", "image": "s3cret"}]}, {"prompt": [{"image": {"format": "s3cret"}}]}):
        assert "s3cret" not in function.http("POST", "/sessions/chat/messages", body).text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.binary(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    )
)
def test_messages_of_any_shape_can_be_shown(value: Any) -> None:
    import json

    from lambda_src.content import to_json

    shown = json.loads(json.dumps(to_json(value)))

    assert shown == to_json(shown)
    assert _decoded_like(value, shown) == value


def _decoded_like(original: Any, shown: Any) -> Any:
    """Undo the encoding where the original had bytes."""
    if isinstance(original, bytes):
        return base64.b64decode(shown)
    if isinstance(original, list):
        return [_decoded_like(one, other) for one, other in zip(original, shown, strict=True)]
    if isinstance(original, dict):
        return {key: _decoded_like(value, shown[key]) for key, value in original.items()}
    return shown
