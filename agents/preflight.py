"""What is asked of a model server before a run sends its first prompt.

Everything that would fail each item alike is found here, named, and told with a hint: exit code 2,
and nothing was spent.
"""

import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from PIL import Image

from agents.llm_client import ChatClient, Completion, JsonSchema, ServedModel
from knee.errors import InputError, ModelOutputError, ModelUnavailable
from knee.keys import content_hash
from knee.run_config import Sampling
from prompts.render import ChatMessage, MessageImage

_PROBE_WORD = "ready"
_PROBE_SCHEMA: JsonSchema = {
    "type": "object",
    "properties": {"state": {"enum": [_PROBE_WORD], "type": "string"}},
    "required": ["state"],
    "additionalProperties": False,
}
_PROBE_SAMPLING = Sampling(temperature=0.0, max_tokens=64)
_PROBE_PIXELS = 64
_IMAGE_LIMIT = re.compile(r"At most (\d+) image", re.IGNORECASE)
"""How vLLM refuses a prompt with more images than it was started for."""
_CONTEXT_HINT = "serve with a larger max_model_len, or lower sampling.max_tokens"
_PROBE_TEXT = 'Answer with this JSON object and nothing else: {"state": "ready"}'


@dataclass(frozen=True, slots=True)
class PreflightReport:
    """What the probe found."""

    model: str
    """Name of the model, as served."""
    max_model_len: int | None
    """Context in tokens; None when the server does not say."""
    answer_field: Literal["content", "reasoning"]
    """Where the probe's answer lay."""
    longest_prompt_tokens: int | None
    """Tokens of the longest prompt given; None when none was given or the server counts none."""

    def line(self) -> str:
        """Returns what was found as one line for people."""
        parts = [f"model {self.model!r} answers in its {self.answer_field} field"]
        if self.max_model_len is not None:
            parts.append(f"context {self.max_model_len} tokens")
        if self.longest_prompt_tokens is not None:
            parts.append(f"longest prompt probed {self.longest_prompt_tokens} tokens")
        return ", ".join(parts)


async def preflight(
    client: ChatClient,
    sampling: Sampling,
    longest_prompt: Sequence[ChatMessage] | None = None,
    *,
    n_images: int = 0,
    has_schema: bool = True,
    images_setting: str = "drafter.images",
    serve_hint: str = "start one with `run_pipeline.py serve --config …`",
) -> PreflightReport:
    """Returns what the server can do, after having tried it.

    Args:
        client: the client of the model to probe.
        sampling: the run's; its `max_tokens` must fit into the context beside the prompt.
        longest_prompt: the longest of the run's prompts, to see that it fits; None skips that.
        n_images: most images of one prompt; 0 does not ask for any.
        has_schema: whether answers will be constrained by a JSON schema. Without, the longest
            prompt alone is sent, as the run will send it: hosted models take no other probe.
        images_setting: the settings' part that says how many images are shown, for the hints.
        serve_hint: what to do when no server is there.

    Raises:
        InputError: no server, another protocol, model not served, no JSON schema, no images or
            not so many, context too small, key refused; before the run's first call.
    """
    model = await _find_model(client, serve_hint)
    url = client.endpoint.base_url
    if model.max_model_len is not None and sampling.max_tokens >= model.max_model_len:
        raise InputError(
            f"max_tokens {sampling.max_tokens!r} leaves no room for a prompt in the context of "
            f"{model.max_model_len!r} tokens of model {model.id!r}",
            "lower sampling.max_tokens, or serve with a larger max_model_len",
        )
    if not has_schema:
        return await _probe_as_sent(
            client, longest_prompt, sampling, model, n_images, images_setting
        )
    answer = await _probe_schema(client, url)
    if n_images:
        await _probe_images(client, model, n_images, images_setting)
    tokens = None
    if longest_prompt is not None:
        tokens = await _measure_prompt(client, longest_prompt, sampling, model)
    return PreflightReport(model.id, model.max_model_len, answer.answer_field, tokens)


async def _probe_as_sent(
    client: ChatClient,
    longest_prompt: Sequence[ChatMessage] | None,
    sampling: Sampling,
    model: ServedModel,
    n_images: int,
    images_setting: str,
) -> PreflightReport:
    """Sends the longest prompt, with its images and the run's own sampling, and no schema."""
    message = ChatMessage(role="user", content=_PROBE_TEXT)
    try:
        answer = await _ask(client, longest_prompt or [message], None, sampling)
    except ModelOutputError as error:
        if error.code == "context_too_long" or not n_images:
            raise InputError(
                f"the longest prompt does not fit: {error.message}", _CONTEXT_HINT
            ) from error
        raise _refused_images(error, model, n_images, images_setting) from error
    tokens = None if longest_prompt is None else answer.usage.prompt_tokens or None
    _refuse_beyond_context(tokens, sampling, model)
    return PreflightReport(model.id, model.max_model_len, answer.answer_field, tokens)


async def _find_model(client: ChatClient, serve_hint: str) -> ServedModel:
    url, wanted = client.endpoint.base_url, client.endpoint.model
    try:
        served = await client.served_models()
    except ModelUnavailable as error:
        raise InputError(f"no model server answers at {error.message}", serve_hint) from error
    for model in served:
        if model.id == wanted:
            return model
    names = ", ".join(repr(model.id) for model in served) or "none"
    raise InputError(
        f"model {wanted!r} is not served at {url!r}; served: {names}",
        "set `model` in the settings file to a served name",
    )


async def _ask(
    client: ChatClient,
    messages: Sequence[ChatMessage],
    schema: JsonSchema | None,
    sampling: Sampling,
) -> Completion:
    """Returns an answer; a server that fails before the run is the user's to mend."""
    try:
        return await client.complete(messages, schema, sampling)
    except ModelUnavailable as error:
        raise InputError(
            f"the server lists models but does not answer: {error.message}",
            "read the server's log",
        ) from error


async def _probe_schema(client: ChatClient, url: str) -> Completion:
    message = ChatMessage(role="user", content=_PROBE_TEXT)
    try:
        answer = await _ask(client, [message], _PROBE_SCHEMA, _PROBE_SAMPLING)
    except ModelOutputError as error:
        raise InputError(
            f"the server at {url!r} refuses a JSON schema: {error.message}",
            "serve the model with structured outputs (vLLM has them by default)",
        ) from error
    if answer.finish_reason == "length":
        raise InputError(
            f"the probe's answer did not end within {_PROBE_SAMPLING.max_tokens} tokens: "
            f"{answer.text[:80]!r}",
            "a model that reasons first needs a reasoning parser on the server, or its reasoning "
            "switched off; one that fills up with white space needs, with vLLM, "
            "--structured-outputs-config '{\"disable_any_whitespace\": true, …}'",
        )
    try:
        value = json.loads(answer.text, strict=False)
    except ValueError:
        value = None
    if value != {"state": _PROBE_WORD}:
        raise InputError(
            f"the server at {url!r} ignores the JSON schema: it answered {answer.text[:80]!r}",
            "serve the model with structured outputs (vLLM has them by default)",
        )
    return answer


async def _probe_images(
    client: ChatClient, model: ServedModel, n_images: int, images_setting: str
) -> None:
    """Sends as many images as one prompt of the run holds, each as small as models take them."""
    images = tuple(_grey_image(number) for number in range(1, n_images + 1))
    message = ChatMessage(role="user", content="Look at these.", images=images)
    one_token = _PROBE_SAMPLING.model_copy(update={"max_tokens": 1})
    try:
        await _ask(client, [message], None, one_token)
    except ModelOutputError as error:
        raise _refused_images(error, model, n_images, images_setting) from error


def _refused_images(
    error: ModelOutputError, model: ServedModel, n_images: int, images_setting: str
) -> InputError:
    limit = _IMAGE_LIMIT.search(error.message)
    if limit is not None and int(limit[1]) > 0:
        return InputError(
            f"model {model.id!r} is served with {int(limit[1])!r} image(s) a prompt at most, "
            f"and items are shown up to {n_images!r}",
            f"lower {images_setting}.n_slices, or serve with --limit-mm-per-prompt "
            f"'{{\"image\": {n_images}}}'",
        )
    return InputError(
        f"model {model.id!r} takes no images: {error.message}",
        f"serve a vision-language model, or leave [{images_setting}] out of the settings",
    )


def _grey_image(number: int) -> MessageImage:
    # Each another shade: a server that keeps images by their hash is asked for all of them.
    buffer = io.BytesIO()
    Image.new("L", (_PROBE_PIXELS, _PROBE_PIXELS), number % 256).save(buffer, format="PNG")
    png = buffer.getvalue()
    return MessageImage(label=f"image {number}", png=png, sha256=content_hash(png))


async def _measure_prompt(
    client: ChatClient, prompt: Sequence[ChatMessage], sampling: Sampling, model: ServedModel
) -> int | None:
    """Returns the prompt's tokens, after a request with the run's own `max_tokens` went through.

    The schema ends the answer after a word, so that nothing is generated; a server that does not
    tell its context refuses here what it would refuse in the run.
    """
    try:
        answer = await _ask(client, prompt, _PROBE_SCHEMA, sampling)
    except ModelOutputError as error:
        raise InputError(
            f"the longest prompt does not fit: {error.message}", _CONTEXT_HINT
        ) from error
    tokens = answer.usage.prompt_tokens or None
    _refuse_beyond_context(tokens, sampling, model)
    return tokens


def _refuse_beyond_context(tokens: int | None, sampling: Sampling, model: ServedModel) -> None:
    limit = model.max_model_len
    if tokens is not None and limit is not None and tokens + sampling.max_tokens > limit:
        raise InputError(
            f"the longest prompt has {tokens!r} tokens, an answer up to {sampling.max_tokens!r}, "
            f"and the context of {model.id!r} holds {limit!r}",
            _CONTEXT_HINT,
        )
