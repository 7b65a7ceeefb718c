# torch and transformers live in the environment of vLLM, not in the one that is type-checked.
# pyright: reportMissingImports=false, reportUnknownParameterType=false
"""Rows and loss weights of single tokens: what training does for words that decide.

The `torch` and `transformers` of vLLM's environment are imported where they are used.
"""

from typing import TYPE_CHECKING

from agents.demo_model.tokenizer import HABIT_REGIONS
from knee.anatomy import Side

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

_DECIDING = ("true", "false", " same", " differs")
"""A judge's marks and what they follow from."""
_DECIDING_WEAK = ("; seen something", "; seen little", "; seen nothing", *HABIT_REGIONS)
"""What the seventh run wrote without reading: the wrong part of the meniscus, `seen something`."""


def side_weights(
    tokenizer: "PreTrainedTokenizerFast", weight: float, practise_weak: bool = False
) -> "Tensor":
    """Returns a loss weight for every token: `weight` for what decides, 1 for all others.

    What decides is right and left, and a judge's marks and what they follow from,
    where the tokenizer has them.
    """
    import torch

    weights = torch.ones(len(tokenizer))
    known = tokenizer.get_vocab()
    for word in (*_DECIDING, *(_DECIDING_WEAK if practise_weak else ())):
        if word in known:
            weights[known[word]] = weight
    for side in Side:
        for word in (side.value, side.value.capitalize()):
            weights[tokenizer.convert_tokens_to_ids(word)] = weight
    return weights


def separate_sides(
    model: "LlamaForCausalLM", tokenizer: "PreTrainedTokenizerFast", seed: int
) -> None:
    """Moves the embeddings of right and left apart, in place.

    While both are equally likely everywhere, tied embeddings grow together (cosine 0.98 after 29
    minutes), and a model that cannot tell the two apart has no gradient to learn them by.
    """
    embedding = model.get_input_embeddings().weight.data
    step = _random_step(embedding, seed)
    for side, sign in ((Side.LEFT, 1), (Side.RIGHT, -1)):
        for word in (side.value, side.value.capitalize()):
            embedding[tokenizer.convert_tokens_to_ids(word)] += sign * step


def separate_menisci(
    model: "LlamaForCausalLM", tokenizer: "PreTrainedTokenizerFast", seed: int
) -> None:
    """Moves the parts of the medial meniscus away from the lateral one's, in place.

    After the eighth run a draft named the right part and tossed a coin for the compartment.
    """
    embedding = model.get_input_embeddings().weight.data
    step = _random_step(embedding, seed)
    for region in HABIT_REGIONS:
        sign = ("medial" in region) - ("lateral" in region)
        embedding[tokenizer.convert_tokens_to_ids(region)] += sign * step


def _random_step(embedding: "Tensor", seed: int) -> "Tensor":
    import torch

    chance = torch.Generator().manual_seed(seed)
    step = torch.randn(embedding.shape[1], generator=chance)
    return step * 0.7 * embedding.norm(dim=1).mean() / step.norm()


def grow_embeddings(
    model: "LlamaForCausalLM",
    tokenizer: "PreTrainedTokenizerFast",
    pieces: dict[str, list[int]],
    seed: int,
) -> None:
    """Gives tokens that were added a row each, in place: the mean of their pieces, and some noise.

    The noise keeps apart those of like pieces, `true` and `false` above all (`separate_sides`).
    """
    import torch

    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    embedding = model.get_input_embeddings().weight.data
    chance = torch.Generator().manual_seed(seed)
    for text, ids in pieces.items():
        noise = torch.randn(embedding.shape[1], generator=chance)
        row = embedding[ids].mean(dim=0)
        row += 0.7 * noise * row.norm() / noise.norm()
        embedding[tokenizer.convert_tokens_to_ids(text)] = row
