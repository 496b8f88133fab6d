"""A small random Qwen2-VL, Qwen2.5-VL or Qwen3-VL with a byte-level tokenizer, saved in the official layout.

Its answers mean nothing: it proves shapes, wiring and determinism.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WORDS = ("yes", "no", "Yes", "No", " yes", " no", "YES", "NO")
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] in ('image', 'image_url') %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HIDDEN, HEADS, LAYERS = 64, 4, 2
LEANING = 16.0
SPREAD = {"qwen2_vl": 0.12, "qwen2_5_vl": 0.05, "qwen3_vl": 0.06}
"""Of the parameters: so large that another question or frame moves log-odds by tenths, so small that yes and no stay likely."""


def write_model(folder: Path, kind: str = "qwen2_vl", seed: int = 0) -> Path:
    """Configuration, parameters, tokenizer and processor in `folder`."""
    import torch
    import transformers

    tokenizer = _tokenizer()
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL}
    config = _config(transformers, kind, len(tokenizer), ids)
    torch.manual_seed(seed)
    model = transformers.AutoModelForImageTextToText.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():  # small random values all over: nothing is left at a zero that hides a mistake
            parameter.copy_(torch.randn_like(parameter) * SPREAD[kind])
        for name, parameter in model.named_parameters():
            if "norm" in name and name.endswith("weight"):
                parameter.add_(1.0)
    _lean_towards_answers(model, tokenizer)
    model.save_pretrained(folder)
    _processor(transformers, kind, tokenizer).save_pretrained(folder)
    return folder


def _lean_towards_answers(model: Any, tokenizer: Any) -> None:
    """Make yes and no, alike, the likely next words: random parameters alone would give them two chances in a hundred."""
    import torch

    text = "<|im_start|>user\nIs it so?<|im_end|>\n<|im_start|>assistant\n"
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        state = model.model.language_model(input_ids=ids).last_hidden_state[0, -1]
        words = [tokenizer.convert_tokens_to_ids(word.replace(" ", "Ġ")) for word in WORDS]
        model.get_output_embeddings().weight[words] += LEANING * state / state.square().sum()


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import Qwen2TokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: k for k, letter in enumerate(alphabet)}
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        letters = list(word.replace(" ", "Ġ"))
        while len(letters) > 1:
            pair = (letters[0], letters[1])
            letters = [pair[0] + pair[1], *letters[2:]]
            if pair not in merges:
                merges.append(pair)
                vocabulary[letters[0]] = len(vocabulary)
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    inner.decoder = decoders.ByteLevel()
    tokenizer = Qwen2TokenizerFast(
        tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|endoftext|>", unk_token=None, bos_token=None
    )
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL)})
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def _config(transformers: Any, kind: str, vocabulary: int, ids: dict[str, int]) -> Any:
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}
    text = {
        "hidden_size": HIDDEN, "intermediate_size": 96, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "num_key_value_heads": 2, "vocab_size": vocabulary, "max_position_embeddings": 32768, "rope_parameters": rope,
        "bos_token_id": ids["<|endoftext|>"], "eos_token_id": ids["<|im_end|>"], "pad_token_id": ids["<|endoftext|>"],
    }  # fmt: skip
    tokens = {
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
    }
    if kind == "qwen2_vl":
        vision = {"depth": 2, "embed_dim": 32, "num_heads": 2, "mlp_ratio": 2, "hidden_size": HIDDEN, "patch_size": 14}
        return transformers.Qwen2VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=False, **tokens)
    if kind == "qwen2_5_vl":
        vision = {"depth": 2, "hidden_size": 32, "num_heads": 2, "intermediate_size": 48, "out_hidden_size": HIDDEN,
                  "patch_size": 14, "window_size": 56, "fullatt_block_indexes": [1]}  # fmt: skip
        return transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=False, **tokens)
    vision = {"depth": 2, "hidden_size": 32, "num_heads": 2, "intermediate_size": 48, "out_hidden_size": HIDDEN,
              "patch_size": 16, "deepstack_visual_indexes": [0], "num_position_embeddings": 64}  # fmt: skip
    text |= {"head_dim": HIDDEN // HEADS, "rope_parameters": {**rope, "mrope_interleaved": True}}
    return transformers.Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=False, **tokens)


def _processor(transformers: Any, kind: str, tokenizer: Any) -> Any:
    if kind == "qwen3_vl":
        sizes = {"patch_size": 16, "size": {"shortest_edge": 32 * 32, "longest_edge": 1_000_000}}
        images = transformers.Qwen2VLImageProcessor(**sizes, image_mean=[0.5] * 3, image_std=[0.5] * 3)
        videos = transformers.Qwen3VLVideoProcessor(patch_size=16)
        return transformers.Qwen3VLProcessor(images, tokenizer, videos, chat_template=TEMPLATE)
    images = transformers.Qwen2VLImageProcessor(size={"shortest_edge": 28 * 28, "longest_edge": 1_000_000})
    videos = transformers.Qwen2VLVideoProcessor()
    kinds = {"qwen2_vl": transformers.Qwen2VLProcessor, "qwen2_5_vl": transformers.Qwen2_5_VLProcessor}
    return kinds[kind](images, tokenizer, videos, chat_template=TEMPLATE)


if __name__ == "__main__":
    import sys

    write_model(Path(sys.argv[1]), *sys.argv[2:3])
    print(json.dumps(sorted(p.name for p in Path(sys.argv[1]).iterdir())))
