"""When the model will not take a prompt's files.

The prompt is stored before the model sees it, and is sent again in every later turn. A file that the model refuses
(a damaged image, a PDF it cannot read, a kind it does not know) would make every later turn fail: the files are taken
out of the stored prompt, and the caller is told.
"""

from collections.abc import Mapping
from typing import Any

MEDIA = ("image", "document", "video", "audio")
NOTE = "({kind} removed: the model refused it.)"

# Bedrock reports a model it cannot call like this with the same error code; no prompt is to blame for that.
_ABOUT_THE_MODEL = ("model identifier", "on-demand throughput", "inference profile")


def has_media(message: Mapping[str, Any]) -> bool:
    """Whether a message carries files."""
    return any(kind in block for block in message["content"] for kind in MEDIA)


def blames_the_prompt(model_error: BaseException | None) -> bool:
    """Whether a model provider says that the request itself cannot be processed."""
    response = getattr(model_error, "response", None)
    details = response.get("Error", {}) if isinstance(response, dict) else {}
    if str(details.get("Code", "")).lower() != "validationexception":
        return False
    return not any(words in str(details.get("Message", "")) for words in _ABOUT_THE_MODEL)


def without_media(message: Mapping[str, Any]) -> dict[str, Any]:
    """The message with a note in place of each file; everything else of it, its identity included, stays."""
    content = []
    for block in message["content"]:
        kind = next((kind for kind in MEDIA if kind in block), None)
        content.append(block if kind is None else {"text": NOTE.format(kind=kind.capitalize())})
    return {**message, "content": content}
