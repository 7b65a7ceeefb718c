# torch and transformers live in the environment of vLLM, not in the one that is type-checked.
# pyright: reportMissingImports=false
"""A vision-language model of random weights that the real vLLM serves on a CPU.

`.venv-vllm/bin/python -m tests.tiny_vision_model --out DIR` writes an Idefics3 of about one million
parameters with tokenizer, image processor and chat template; nothing is downloaded. It has learned
nothing: what it is for is the way from slices to a server and back.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
SEED = 20261125
VOCABULARY_SIZE = 1200
CONTEXT = 8192
IMAGE_PIXELS, PATCH_PIXELS, SCALE_FACTOR = 112, 14, 2
TOKENS_AN_IMAGE = (IMAGE_PIXELS // PATCH_PIXELS // SCALE_FACTOR) ** 2
"""16, whatever the size of the image sent: it is brought to 112 x 112 pixels."""
END, PAD = "<|end|>", "<|pad|>"
IMAGE, AROUND, WHOLE = "<image>", "<fake_token_around_image>", "<global-img>"
SPECIALS = [
    *(PAD, END, "<|system|>", "<|user|>", "<|assistant|>", "<end_of_utterance>"),
    *(IMAGE, AROUND, WHOLE),
    *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
]
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}\n{% else %}<image>{% endif %}"
    "{% endfor %}{% endif %}" + END + "{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def _texts() -> Iterator[str]:
    folder = CHECKOUT / "prompts"
    for path in sorted([*folder.rglob("*.jinja2"), *folder.rglob("*.toml")]):
        yield path.read_text(encoding="utf-8")


def _save_processor(out: Path) -> int:
    """Saves tokenizer and processor; returns the number of tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast
    from transformers.models.idefics3.image_processing_pil_idefics3 import (
        Idefics3ImageProcessorPil,
    )
    from transformers.models.idefics3.processing_idefics3 import Idefics3Processor

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        _texts(),
        trainers.BpeTrainer(
            vocab_size=VOCABULARY_SIZE,
            special_tokens=SPECIALS,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=SPECIALS[2:],
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
    edge = {"longest_edge": IMAGE_PIXELS}
    images = Idefics3ImageProcessorPil(size=edge, max_image_size=edge, do_image_splitting=False)
    processor = Idefics3Processor(
        images, tokenizer, image_seq_len=TOKENS_AN_IMAGE, chat_template=CHAT_TEMPLATE
    )
    processor.save_pretrained(out)
    (out / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    return len(tokenizer)


def make_model(out: Path) -> None:
    """Writes the model into a folder, which is made."""
    import torch
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration

    out.mkdir(parents=True, exist_ok=True)
    n_tokens = _save_processor(out)
    torch.manual_seed(SEED)
    ids = {text: number for number, text in enumerate(SPECIALS)}
    config = Idefics3Config(
        image_token_id=ids[IMAGE],
        pad_token_id=ids[PAD],
        scale_factor=SCALE_FACTOR,
        vision_config={
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": IMAGE_PIXELS,
            "patch_size": PATCH_PIXELS,
        },
        text_config={
            "model_type": "llama",
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "head_dim": 32,
            "vocab_size": n_tokens,
            "max_position_embeddings": CONTEXT,
            "rms_norm_eps": 1e-5,
            "bos_token_id": None,
            "eos_token_id": ids[END],
            "pad_token_id": ids[PAD],
        },
    )
    model = Idefics3ForConditionalGeneration(config).to(torch.bfloat16)
    model.generation_config.eos_token_id = ids[END]
    model.generation_config.pad_token_id = ids[PAD]
    model.save_pretrained(out)
    n_weights = sum(weight.numel() for weight in model.parameters())
    print(json.dumps({"folder": str(out), "weights": n_weights, "tokens": n_tokens}))  # noqa: T201


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    make_model(parser.parse_args().out)


if __name__ == "__main__":
    main()
