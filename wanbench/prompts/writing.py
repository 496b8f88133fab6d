"""A suite as a file for other tools: JSONL, CSV, plain texts, and VBench's list with its names of videos."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence

from wanbench.prompts.suite import Suite, given, name_of_text
from wanbench.types import JSONObject, Prompt


def write(suite: Suite, form: str, language: str, seeds: Sequence[int]) -> bytes:
    """A suite in one of the formats `jsonl`, `csv`, `txt`, `vbench`; the last two in one language. Raises `UsageError`.

    JSONL and CSV hold every field in every language and can be given to `--suite` again; the JSONL of a shipped suite has
    the suite's own hash.
    """
    return FORMATS[form](suite, language, seeds).encode()


def line(fields: object) -> str:
    """One line of JSON as suites are written: compact, characters as they are."""
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _jsonl(suite: Suite, language: str, seeds: Sequence[int]) -> str:
    return "".join(line(prompt.fields) + "\n" for prompt in suite.prompts.values())


def _csv(suite: Suite, language: str, seeds: Sequence[int]) -> str:
    """A column a field; `text` English, `text_zh` Chinese, structured fields as JSON."""
    rows = [_row(prompt) for prompt in suite.prompts.values()]
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO(newline="")
    table = csv.DictWriter(out, names, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return out.getvalue()


def _row(prompt: Prompt) -> JSONObject:
    row: JSONObject = {}
    for key, value in prompt.fields.items():
        if key == "text":
            row |= {"text": prompt.given["en"], **({"text_zh": prompt.given["zh"]} if "zh" in prompt.given else {})}
        else:
            row[key] = value if isinstance(value, str) else line(value)
    return row


def _txt(suite: Suite, language: str, seeds: Sequence[int]) -> str:
    texts = [" ".join(given(prompt, language).split()) for prompt in suite.prompts.values()]
    return "".join(text + "\n" for text in texts)


def _vbench(suite: Suite, language: str, seeds: Sequence[int]) -> str:
    """The layout of VBench's full info file: a prompt, its dimensions, and how its videos are to be called."""
    entries = [
        {
            "prompt_en": prompt.given["en"],
            **({"prompt_zh": prompt.given["zh"]} if "zh" in prompt.given else {}),
            "dimension": [prompt.dimension] if prompt.dimension else [],
            "id": prompt.id,
            "video_list": [f"{name_of_text(given(prompt, language))}-{seed}.mp4" for seed in seeds],
        }
        for prompt in suite.prompts.values()
    ]
    return json.dumps(entries, ensure_ascii=False, indent=1) + "\n"


FORMATS: dict[str, Callable[[Suite, str, Sequence[int]], str]] = {"jsonl": _jsonl, "csv": _csv, "txt": _txt, "vbench": _vbench}
