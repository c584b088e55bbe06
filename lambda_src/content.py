"""Content blocks on their way in (checked) and messages on their way out (bytes as base64)."""

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from lambda_src import value_rules

KINDS = ("text", "image", "document", "video", "cachePoint")
MAX_DOCUMENT_NAME = 200
DOCUMENT_NAME = r"^[A-Za-z0-9()\[\]-]+( [A-Za-z0-9()\[\]-]+)*$"
_IMAGE_SIGNATURES: dict[str, tuple[bytes, ...]] = {
    "png": (b"\x89PNG\r\n\x1a\n",),
    "jpeg": (b"\xff\xd8\xff",),
    "gif": (b"GIF87a", b"GIF89a"),
    "webp": (b"RIFF",),
}

_PDF_HEADER = b"%PDF-"
_PDF_HEADER_WITHIN = 1024
"""Readers look for the header within so many bytes (PDF reference, appendix H)."""


def base64_bytes(text: str) -> bytes:
    """Decode base64 text: the standard alphabet, with padding and nothing else.

    Raises:
        ValueError: The text is no such base64.
    """
    message = "must be base64 text (standard alphabet, with padding)"
    # Even in strict mode Python takes padding that completes no quartet.
    if len(text) % 4 or text.endswith("==="):
        raise ValueError(message)
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise ValueError(message) from None


def _decoded(value: object) -> bytes:
    if not isinstance(value, str) or not value:
        raise ValueError("must be base64 text")
    return base64_bytes(value)


Base64 = Annotated[bytes, BeforeValidator(_decoded), WithJsonSchema(value_rules.base64())]


class _Block(BaseModel):
    # Strict: the contract says which types are taken, and Python would otherwise take "yes" for true.
    model_config = ConfigDict(extra="forbid", strict=True)


class Source(_Block):
    """Where the bytes are: here. A location would make the function's role read what the caller may not."""

    data: Base64 = Field(alias="bytes", description="The file's bytes as base64.")


class Image(_Block):
    """An image."""

    format: Literal["png", "jpeg", "gif", "webp"]
    source: Source

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The published schema, which knows the signatures."""
        signatures = {name: value_rules.base64(starts_with=begins) for name, begins in _IMAGE_SIGNATURES.items()}
        return value_rules.by_format(handler.resolve_ref_schema(handler(core)), signatures)

    @model_validator(mode="after")
    def _bytes_are_what_they_claim(self) -> Self:
        # The prompt is stored before the model sees it, and a model that refuses an image refuses it in every later
        # turn too. The commonest mistake is caught here, before it is part of the conversation.
        if not self.source.data.startswith(_IMAGE_SIGNATURES[self.format]):
            raise ValueError(f"the bytes are not a {self.format} image")
        return self


class Citations(_Block):
    """Whether the answer is to say which part of the document it rests on."""

    enabled: bool


class Document(_Block):
    """A document."""

    format: Literal["pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"]
    # Bedrock's rule for DocumentBlock.name; a name it refuses would be refused in every later turn too.
    name: str = Field(
        min_length=1,
        max_length=MAX_DOCUMENT_NAME,
        pattern=DOCUMENT_NAME,
        description="Letters, digits, single spaces, hyphens, parentheses and square brackets.",
    )
    source: Source
    context: str | None = None
    citations: Citations | None = None

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The published schema, which knows how a PDF begins."""
        pdf = value_rules.base64(contains=_PDF_HEADER, within=_PDF_HEADER_WITHIN)
        return value_rules.by_format(handler.resolve_ref_schema(handler(core)), {"pdf": pdf})

    @model_validator(mode="after")
    def _bytes_are_what_they_claim(self) -> Self:
        if self.format == "pdf" and _PDF_HEADER not in self.source.data[:_PDF_HEADER_WITHIN]:
            raise ValueError("the bytes are not a pdf document")
        return self


class Video(_Block):
    """A video."""

    format: Literal["flv", "mkv", "mov", "mpeg", "mpg", "mp4", "three_gp", "webm", "wmv"]
    source: Source


class CachePoint(_Block):
    """Where a model's prompt cache may cut."""

    type: Literal["default"]


class ContentBlock(_Block):
    """One part of a prompt: exactly one of text, image, document, video and cachePoint."""

    text: Annotated[str, WithJsonSchema(value_rules.SPOKEN_TEXT)] | None = None
    image: Image | None = None
    document: Document | None = None
    video: Video | None = None
    cache_point: CachePoint | None = Field(default=None, alias="cachePoint")

    @model_validator(mode="before")
    @classmethod
    def _one_known_kind(cls, value: object) -> object:
        if not isinstance(value, Mapping) or len(value) != 1 or next(iter(value)) not in KINDS:
            raise ValueError(f"must be an object with exactly one of {', '.join(KINDS)}")
        if next(iter(value.values())) is None:
            raise ValueError("must not be null")
        return value

    @model_validator(mode="after")
    def _text_says_something(self) -> Self:
        if self.text is not None and not self.text.strip():
            raise ValueError("text must not be blank")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The published schema, which says that there is exactly one kind."""
        return value_rules.exactly_one_of(handler.resolve_ref_schema(handler(core)))

    def to_strands(self) -> dict[str, Any]:
        """The block as Strands and Bedrock spell it, with real bytes."""
        return self.model_dump(by_alias=True, exclude_none=True)


def to_json(value: Any) -> Any:
    """The same value with every ``bytes`` in it as base64 text, as prompts spell it too."""
    match value:
        case bytes() | bytearray() | memoryview():
            return base64.b64encode(value).decode("ascii")
        case Mapping():
            return {str(key): to_json(item) for key, item in value.items()}
        case list() | tuple():
            return [to_json(item) for item in value]
        case _:
            return value


def shown(message: Mapping[str, Any]) -> dict[str, Any]:
    """What a client is shown of a message: role and content, without the runtime's own bookkeeping."""
    return {"role": message["role"], "content": to_json(message["content"])}
