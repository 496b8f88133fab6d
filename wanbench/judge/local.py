"""The judge in this process: Qwen2-VL, Qwen2.5-VL or Qwen3-VL through transformers.

A frame goes through the vision tower once however many questions, windows and dimensions ask about it; what comes before a
question goes through the language model once for all questions about the same frames (its keys and values are kept and
repeated over the batch). Both are exact: the same numbers as asking each question by itself.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wanbench.errors import MissingDependency, UsageError
from wanbench.judge.protocol import Frame, JudgeFailed, Odds, Picture, Token, Written, is_variant, messages, odds_of
from wanbench.types import JSONObject

if TYPE_CHECKING:
    from wanbench.networks import Placement

KINDS = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
"""`model_type` of the configurations that can be loaded."""
ALTERNATIVES = 20
"""Kept of a written token's distribution, as a server does."""
VISION_CACHED = 64
"""Frames whose features are kept: those of one clip, 16 for events and up to 51 for the windows of smoothness."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the vision tower made of one picture."""

    output: Any
    """The output it came in, as a mould for others."""
    pooled: Any
    """(tokens, width) features of the picture."""
    layers: tuple[Any, ...]
    """The same for early layers; empty but for Qwen3-VL."""
    grid: Any
    """(3,) frames, rows and columns of patches."""


class LocalJudge:
    """A `Backend` on one device."""

    def __init__(self, folder: Path, placement: Placement) -> None:
        try:
            import torch
            from transformers import AutoModelForImageTextToText, AutoProcessor
        except ImportError as error:
            raise MissingDependency("a judge in process", "judge") from error
        self._torch = torch
        self._device = placement.device
        self._batch = placement.batch_size
        try:
            self._processor: Any = AutoProcessor.from_pretrained(folder, local_files_only=True)
            model, report = AutoModelForImageTextToText.from_pretrained(
                folder, dtype=placement.torch_dtype(), local_files_only=True, output_loading_info=True
            )
        except Exception as error:  # whatever a damaged folder makes the readers raise, the folder is the cause
            raise UsageError(f"{folder} cannot be loaded as a judge: {' '.join(str(error).split())[:300]}") from error
        if model.config.model_type not in KINDS:
            raise UsageError(f"{folder} holds a {model.config.model_type}; a judge is one of {', '.join(KINDS)}")
        wrong = {
            kind: sorted(report[f"{kind}_keys"]) for kind in ("missing", "unexpected", "mismatched") if report[f"{kind}_keys"]
        }
        if wrong:
            kind, names = next(iter(wrong.items()))
            raise UsageError(f"{folder} does not fit {type(model).__name__}: {len(names)} {kind} tensors, such as {names[0]}")
        self._model: Any = model.to(placement.device).eval().requires_grad_(False)
        self._tokenizer = self._processor.tokenizer
        decoded = self._tokenizer.batch_decode([[k] for k in range(len(self._tokenizer))])
        self._yes, self._no = (self._variants(decoded, word) for word in ("yes", "no"))
        self._image = int(model.config.image_token_id)
        self._seen: dict[str, _Seen] = {}
        self._grammar: Any = None

    def odds(self, frames: Sequence[Frame], prompts: Sequence[str]) -> list[Odds]:
        rows = self._first_logits(frames, prompts)
        found = []
        for row in rows:
            shares = self._torch.softmax(row.double(), dim=-1)
            found.append(odds_of(float(shares[self._yes].sum()), float(shares[self._no].sum())))
        return found

    def write(self, frames: Sequence[Frame], prompt: str, schema: Mapping[str, Any], max_tokens: int) -> Written:
        """Greedy decoding in which a grammar rules out every token that would break the schema."""
        with self._torch.inference_mode():
            ids, positions, features = self._tokens(frames, [prompt])
            out = self._model(
                input_ids=ids[0][None],
                position_ids=positions[0],
                use_cache=True,
                logits_to_keep=1,
                **self._pictured(features),
            )
            return self._decode(out, int(positions[0].max()) + 1, schema, max_tokens)

    def facts(self) -> JSONObject:
        import transformers

        attention = getattr(self._model.config, "_attn_implementation", None)
        return {"transformers": transformers.__version__, "device": self._device, "attention": attention}

    def _first_logits(self, frames: Sequence[Frame], prompts: Sequence[str]) -> list[Any]:
        """(vocabulary,) for each prompt: the logits of the answer's first token."""
        torch = self._torch
        with torch.inference_mode():
            ids, positions, features = self._tokens(frames, prompts)
            shared = _common_prefix(ids)
            prefix = self._model(
                input_ids=ids[0][None, :shared],
                position_ids=positions[0][:, :, :shared],
                use_cache=True,
                logits_to_keep=1,
                **self._pictured(features),
            )
            rows: list[Any] = []
            for start in range(0, len(ids), self._batch):
                part = slice(start, start + self._batch)
                rows += self._after(prefix.past_key_values, shared, ids[part], positions[part])
        return rows

    def _after(self, cache: Any, shared: int, ids: list[Any], positions: list[Any]) -> list[Any]:
        """Last logits of some prompts that begin with what the cache holds. Padding comes last, where no token looks."""
        torch = self._torch
        kept = copy.deepcopy(cache)
        kept.batch_repeat_interleave(len(ids))
        longest = max(len(row) for row in ids) - shared
        suffixes = torch.zeros((len(ids), longest), dtype=torch.long, device=self._device)
        places = torch.zeros((positions[0].shape[0], len(ids), longest), dtype=torch.long, device=self._device)
        for k, (row, place) in enumerate(zip(ids, positions, strict=True)):
            suffixes[k, : len(row) - shared] = row[shared:]
            places[:, k, : len(row) - shared] = place[:, 0, shared:]
        logits = self._model(input_ids=suffixes, position_ids=places, past_key_values=kept, use_cache=True).logits
        return [logits[k, len(row) - shared - 1] for k, row in enumerate(ids)]

    def _tokens(self, frames: Sequence[Frame], prompts: Sequence[str]) -> tuple[list[Any], list[Any], Any]:
        """Token ids (L,) and rotary positions (3, 1, L) of each conversation, and the frames' features."""
        torch = self._torch
        features, grid = self._features(frames)
        merge = self._processor.image_processor.merge_size**2
        counts = (grid.prod(-1) // merge).tolist() if grid is not None else []
        ids, positions = [], []
        for prompt in prompts:
            text = self._processor.apply_chat_template(messages(frames, prompt), tokenize=False, add_generation_prompt=True)
            # The processor itself would read all pictures again for every question.
            pieces = text.split(self._processor.image_token)
            whole = pieces[0] + "".join(self._processor.image_token * n + p for n, p in zip(counts, pieces[1:], strict=True))
            row = self._tokenizer(whole, add_special_tokens=False, return_tensors="pt")["input_ids"][0].to(self._device)
            ids.append(row)
            if grid is None:
                positions.append(torch.arange(len(row), device=self._device).expand(3, 1, -1))
            else:
                kinds = (row == self._image).int()[None]
                positions.append(self._model.model.get_rope_index(row[None], kinds, image_grid_thw=grid)[0])
        return ids, positions, features

    def _features(self, frames: Sequence[Frame]) -> tuple[Any, Any]:
        """The vision tower's output for frames in order, and their grids (F, 3); each picture is computed once."""
        if not frames:
            return None, None
        new = {f.key: f.picture for f in frames if f.key not in self._seen}
        for start in range(0, len(new), self._batch):
            part = dict(list(new.items())[start : start + self._batch])
            self._seen |= zip(part, self._look(list(part.values())), strict=True)
        seen = [self._seen[f.key] for f in frames]
        self._seen = dict(list(self._seen.items())[-VISION_CACHED:])
        return _joined(seen), self._torch.stack([s.grid for s in seen])

    def _look(self, pictures: Sequence[Picture]) -> Iterator[_Seen]:
        """The vision tower on some pictures in one call, taken apart again."""
        read = self._processor.image_processor(images=list(pictures), return_tensors="pt")
        grids = read["image_grid_thw"].to(self._device)
        out = self._model.model.get_image_features(read["pixel_values"].to(self._device), grids, return_dict=True)
        layers = out.get("deepstack_features") or ()
        for k, grid in enumerate(grids):
            yield _Seen(output=out, pooled=out["pooler_output"][k], layers=tuple(layer[k] for layer in layers), grid=grid)

    def _pictured(self, features: Any) -> dict[str, Any]:
        return {} if features is None else {"mm_encoder_outputs": {"image": features}}

    def _variants(self, decoded: Sequence[str], word: str) -> Any:
        """Ids of every token of the vocabulary that says the word, as `is_variant` has it."""
        ids = [k for k, text in enumerate(decoded) if is_variant(text, word)]
        if not ids:
            raise UsageError(f"the judge's tokenizer has no single token for {word!r}")
        return self._torch.tensor(ids, device=self._device)

    def _decode(self, out: Any, position: int, schema: Mapping[str, Any], max_tokens: int) -> Written:
        torch = self._torch
        matcher, width = self._matcher(schema)
        ids: list[int] = []
        tokens: list[Token] = []

        def written(finished: bool) -> Written:
            return Written(text=self._tokenizer.decode(ids), tokens=tuple(tokens), finished=finished)

        cache, logits = out.past_key_values, out.logits[0, -1]
        import llguidance.numpy

        mask = llguidance.numpy.allocate_token_bitmask(1, width)
        for _ in range(max_tokens):
            if matcher.is_stopped():
                return written(True)
            llguidance.numpy.fill_next_token_bitmask(matcher, mask, 0)
            allowed = np.unpackbits(mask.view(np.uint8)[0], bitorder="little")[:width].astype(bool)
            shares = torch.softmax(logits.double().cpu().masked_fill(torch.from_numpy(~allowed), -torch.inf), dim=-1)
            chosen = int(shares.argmax())
            if chosen == self._tokenizer.eos_token_id:
                return written(True)
            best = torch.topk(shares, min(ALTERNATIVES, len(shares)))
            alternatives = tuple(
                (self._tokenizer.decode([int(k)]), float(p))
                for p, k in zip(best.values, best.indices, strict=True)
                if float(p) > 0
            )
            ids.append(chosen)
            tokens.append(Token(text=self._tokenizer.decode([chosen]), alternatives=alternatives))
            if not matcher.consume_token(chosen):
                raise JudgeFailed(f"the grammar refused its own token: {matcher.get_error()}")
            step = torch.tensor([[chosen]], device=self._device)
            place = torch.full((3, 1, 1), position, dtype=torch.long, device=self._device)
            out = self._model(input_ids=step, position_ids=place, past_key_values=cache, use_cache=True)
            cache, logits, position = out.past_key_values, out.logits[0, -1], position + 1
        return written(matcher.is_stopped())

    def _matcher(self, schema: Mapping[str, Any]) -> tuple[Any, int]:
        try:
            import llguidance
            import llguidance.hf
        except ImportError as error:
            raise MissingDependency("a judge that counts", "judge") from error
        if self._grammar is None:
            # The language model's head may be wider than the tokenizer's vocabulary.
            width = int(self._model.get_output_embeddings().weight.shape[0])
            self._grammar = (llguidance.hf.from_tokenizer(self._tokenizer, n_vocab=width), width)
        tokenizer, width = self._grammar
        compact = {**schema, "x-guidance": {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}}
        matcher = llguidance.LLMatcher(tokenizer, llguidance.LLMatcher.grammar_from_json_schema(compact))
        if matcher.is_error():
            raise JudgeFailed(f"the answer's schema cannot be used: {matcher.get_error()}")
        return matcher, width


def _common_prefix(ids: Sequence[Any]) -> int:
    """How many tokens all rows begin with; at least one is left to each."""
    shortest = min(len(row) for row in ids) - 1
    same = np.ones(shortest, bool)
    for row in ids[1:]:
        same &= (row[:shortest] == ids[0][:shortest]).cpu().numpy()
    return shortest if same.all() else int(same.argmin())


def _joined(seen: Sequence[_Seen]) -> Any:
    """The output of several pictures as the vision tower gives it for all in one call."""
    joined = copy.copy(seen[0].output)
    joined["pooler_output"] = tuple(s.pooled for s in seen)
    if seen[0].layers:  # Qwen3-VL adds features to early layers as well
        joined["deepstack_features"] = [tuple(layer) for layer in zip(*(s.layers for s in seen), strict=True)]
    return joined
