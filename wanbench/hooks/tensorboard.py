"""TensorBoard: one folder a candidate, with scores, the configuration as a table, and sample videos as moving pictures.

Videos are decoded in a process of its own: what a file does to the decoder ends neither the command nor the logging.
Written with TensorBoard's own writer, which needs neither torch nor TensorFlow; `tensorboard --logdir FOLDER` shows it.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wanbench.clip import Clip
from wanbench.decoding.process import Decoder, Limits
from wanbench.errors import MissingDependency, UndecodableVideo, UsageError
from wanbench.hooks.entry import Entry, SampleVideo

FOLDER = "tensorboard"
FPS = 4.0
LINES = 160
"""Ours: frames a second and short side of a moving picture. GIF is all that TensorBoard plays; a few hundred kB each."""


class _TensorBoard:
    def __init__(self, target: str) -> None:
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2
            from tensorboard.plugins.text import plugin_data_pb2
            from tensorboard.summary.writer import event_file_writer
        except ImportError as error:
            raise MissingDependency("--log-to tensorboard", "tensorboard") from error

        self.name = f"tensorboard:{target}" if target else "tensorboard"
        self._summary: Any = summary_pb2
        self._event: Any = event_pb2.Event
        self._tensor: Any = tensor_pb2.TensorProto
        self._text: Any = plugin_data_pb2.TextPluginData
        self._writer: Any = event_file_writer.EventFileWriter
        self._folder = Path(target or FOLDER).expanduser().absolute()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=self._folder).close()
        except OSError as error:
            raise UsageError(f"--log-to {self.name}: {self._folder} cannot be written: {error.strerror}") from error

    def log(self, entry: Entry) -> None:
        folder = self._folder / entry.id
        before = sorted(folder.glob("events.out.tfevents.*"))
        values = [self._summary.Summary.Value(tag=tag, simple_value=score) for tag, score in entry.scores.items()]
        pictures, unseen = self._moving_pictures(entry.samples)
        values += [self._table({**entry.config, **entry.notes, **unseen}), *pictures]
        writer = self._writer(str(folder), filename_suffix=f".{entry.digest}")
        writer.add_event(self._event(wall_time=time.time(), step=0, summary=self._summary.Summary(value=values)))
        writer.close()
        for old in before:  # the same plan logged again takes the place of what it said before
            old.unlink()

    def _table(self, facts: Mapping[str, Any]) -> Any:
        """Configuration and notes, as TensorBoard's text pages show them: Markdown."""
        rows = "\n".join(f"| {key} | {str(value).replace('|', '&#124;')} |" for key, value in facts.items())
        metadata = self._summary.SummaryMetadata(
            plugin_data=self._summary.SummaryMetadata.PluginData(
                plugin_name="text", content=self._text(version=0).SerializeToString()
            )
        )
        tensor = self._tensor(dtype="DT_STRING", string_val=[f"| | |\n|---|---|\n{rows}".encode()])
        tensor.tensor_shape.dim.add(size=1)
        return self._summary.Summary.Value(tag="config", metadata=metadata, tensor=tensor)

    def _moving_pictures(self, samples: Sequence[SampleVideo]) -> tuple[list[Any], dict[str, str]]:
        """Of all that can be decoded; and why the others cannot."""
        found, unseen, decoder = [], {}, Decoder((LINES,), Limits())
        try:
            for sample in samples:
                try:
                    data, (height, width) = moving_picture(decoder.take(sample.path))
                except UndecodableVideo as error:
                    unseen[f"samples/{sample.name}"] = f"not shown: {error}"
                    continue
                image = self._summary.Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=data)
                found.append(self._summary.Summary.Value(tag=f"samples/{sample.name}", image=image))
        finally:
            decoder.close()
        return found, unseen


def moving_picture(clip: Clip) -> tuple[bytes, tuple[int, int]]:
    """The measured seconds of a clip as a GIF, and its (height, width)."""
    from wanbench.decoding.prepare import GRID_PER_SECOND
    from wanbench.scenes.encode import Encoding, write_video

    frames = clip.grid_frames(LINES)
    times = np.arange(max(1, math.ceil(clip.facts.measured_seconds * FPS))) / FPS
    shown = np.searchsorted(clip.grid_times, times + 0.5 / GRID_PER_SECOND) - 1  # the last distinct one by then
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.gif"
        write_video(path, (frames[k] for k in shown), fps=FPS, encoding=Encoding(codec="gif"))
        return path.read_bytes(), (frames.shape[1], frames.shape[2])


def opened(target: str, offline: bool) -> _TensorBoard:
    """`FOLDER`; empty: `tensorboard`; it never touches the network. Raises `UsageError`, `MissingDependency`."""
    return _TensorBoard(target)
