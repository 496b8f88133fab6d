"""Text and the image tower: cleaning, names, and a small encoder with a real tokenizer."""

from __future__ import annotations

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from wanbench.generator import image_tower, text


def test_cleaning_by_hand() -> None:
    assert text.clean(" a\u3000cat\n &amp;amp; dog ") == "a cat & dog"
    assert text.clean("Ａ，Ｂ。") == "A,B。"
    assert text.clean("Snow_White stays!") == "Snow_White stays!"


def words() -> PreTrainedTokenizerFast:
    """A word a token, 1 at the end, 0 for padding: what umT5's does."""
    tokenizer = Tokenizer(models.WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2, "a": 3, "cat": 4}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def test_text_is_cut_to_its_tokens_and_does_not_see_padding() -> None:
    config = text.TextConfig(vocab=6, dim=8, head_dim=4, ffn_dim=12, num_heads=2, num_layers=1)
    torch.manual_seed(0)
    encoder = text.build_text_encoder(config)
    one, two, none = text.encode_text(["a  cat", "a cat a cat a", ""], words(), encoder)
    assert [len(rows) for rows in (one, two, none)] == [3, 6, 1]
    alone = text.encode_tokens(torch.tensor([[3, 4, 1]]), torch.ones(1, 3, dtype=torch.int64), encoder)[0]
    torch.testing.assert_close(one, alone, atol=1e-5, rtol=0)
    (long,) = text.encode_text(["a " * 600], words(), encoder)
    assert len(long) == text.TEXT_LEN


def test_the_inner_embedding_is_the_outer_one_after_loading() -> None:
    config = text.TextConfig(vocab=6, dim=8, head_dim=4, ffn_dim=12, num_heads=2, num_layers=2)
    with torch.device("meta"):
        encoder = text.build_text_encoder(config)
    back = {text.transformers_name(name): name for name in original_names(2)}
    tensors = {back[name]: torch.randn(p.shape) for name, p in encoder.state_dict().items() if name in back}
    text.load_text_encoder(encoder, tensors)
    assert encoder.encoder.embed_tokens.weight is encoder.shared.weight
    assert torch.equal(encoder.shared.weight, tensors["token_embedding.weight"])
    assert not [name for name, p in encoder.named_parameters() if p.is_meta]


def original_names(layers: int) -> list[str]:
    parts = [*(f"attn.{p}" for p in "qkvo"), "norm1", "norm2", "pos_embedding.embedding", "ffn.gate.0", "ffn.fc1", "ffn.fc2"]
    return ["token_embedding.weight", "norm.weight", *(f"blocks.{i}.{part}.weight" for i in range(layers) for part in parts)]


@pytest.mark.parametrize("name", ["blocks.0.attn.q.bias", "stages.0.norm1.weight"])
def test_a_foreign_text_tensor_is_refused(name: str) -> None:
    with pytest.raises(KeyError):
        text.transformers_name(name)


def test_queries_keys_and_values_of_the_tower_are_cut_in_this_order() -> None:
    stacked = torch.arange(6.0)[:, None]
    made = image_tower.transformers_tensors({"visual.transformer.2.attn.to_qkv.weight": stacked, "textual.x": stacked})
    assert {name: tensor.flatten().tolist() for name, tensor in made.items()} == {
        "encoder.layers.2.self_attn.q_proj.weight": [0, 1],
        "encoder.layers.2.self_attn.k_proj.weight": [2, 3],
        "encoder.layers.2.self_attn.v_proj.weight": [4, 5],
    }


def test_a_grey_image_for_the_tower_by_hand() -> None:
    pixels = image_tower.preprocess([torch.zeros(3, 5, 9)], 4)
    assert pixels.shape == (1, 3, 4, 4)
    assert pixels[0, 0, 0, 0].item() == pytest.approx((0.5 - 0.48145466) / 0.26862954)
