"""Options of a model that makes videos: the same words, types and meaning in every command that has them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from wanbench.cli import options

if TYPE_CHECKING:
    from wanbench.making.makers import MakerOptions


class PassesName(StrEnum):
    """How the two passes of guidance are made."""

    AUTO = "auto"
    TOGETHER = "together"
    APART = "apart"


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """What a user asked of the model; None: its own default."""

    size: Annotated[
        str | None, typer.Option(help="Of the videos, in pixels.", metavar="WIDTHxHEIGHT", show_default="the model's")
    ] = None
    frames: Annotated[
        int | None, typer.Option(help="Frames of a video; the Wan family wants 4k + 1.", min=1, show_default="the model's")
    ] = None
    fps: Annotated[
        float | None, typer.Option(help="Frames a second of the files.", min=0.1, show_default="the model's")
    ] = None  # fmt: skip
    steps: Annotated[int | None, typer.Option(help="Sampling steps.", min=1, show_default="the model's")] = None
    guidance: Annotated[
        str | None,
        typer.Option(
            help="A number, or two for the networks of low and high noise; 1: none, one pass a step.",
            metavar="G or LOW,HIGH",
            show_default="the model's",
        ),
    ] = None
    shift: Annotated[float | None, typer.Option(help="Of the noise schedule.", show_default="the model's")] = None
    solver: Annotated[str | None, typer.Option(help="unipc, dpm++ or euler.", show_default="the model's")] = None
    negative: Annotated[str | None, typer.Option(help="Negative prompt.", show_default="the model's")] = None
    image: Annotated[
        list[Path] | None, typer.Option(help="First (and then last) frame, or references; may be given again.", metavar="FILE")
    ] = None
    video: Annotated[Path | None, typer.Option(help="VACE: the video that is changed.", metavar="FILE")] = None
    mask: Annotated[
        Path | None,
        typer.Option(help="VACE: where it is changed, white; a picture or a video.", metavar="FILE", show_default="everywhere"),
    ] = None
    lora: Annotated[
        list[str] | None, typer.Option(help="A LoRA file to merge, with its strength; may be given again.", metavar="FILE[:S]")
    ] = None
    memory: Annotated[
        str | None,
        typer.Option(
            help="Bytes of the device that may be used, such as 8.19GB: what does not fit waits on the host.",
            metavar="GB",
            show_default="auto: what is free",
        ),
    ] = None
    vae_tile: Annotated[
        int | None,
        typer.Option(help="Decode in squares of so many pixels: less memory, faint seams.", show_default="whole frames"),
    ] = None
    guidance_passes: Annotated[
        PassesName, typer.Option(help="Both passes of guidance as one batch, or one after the other; auto: by --memory.")
    ] = PassesName.AUTO
    fp8: Annotated[bool, typer.Option("--fp8", help="Products in 8 bits; approximate, by how much is told.")] = False
    reuse: Annotated[
        str | None,
        typer.Option(
            help="guidance or attention: computed at one step of EVERY (2), else reused; approximate, by how much is told.",
            metavar="WHAT[:EVERY]",
        ),
    ] = None
    compile: Annotated[bool, typer.Option("--compile", help="Compile the blocks.")] = False

    def keywords(self) -> dict[str, Any]:
        """As `wanbench.run` takes them. Raises `UsageError`."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**given, "size": options.size_of(self.size), "guidance_passes": self.guidance_passes.value}

    def for_maker(self, *, dtype: options.DtypeName | None, **more: Any) -> MakerOptions:
        """What a maker is told; `more` are the maker's options that are not the model's. Raises `UsageError`."""
        from wanbench.making.keywords import maker_options

        return maker_options(self.keywords(), dtype=dtype.value if dtype else None, **more)


def with_model_options(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with the options above in place of its parameter `asked: ModelOptions`.

    Typer reads a command's signature, and knows no group of options that commands share.
    """

    def flat(**given: Any) -> None:
        asked = ModelOptions(**{field.name: given.pop(field.name) for field in fields(ModelOptions)})
        command(asked=asked, **given)

    kinds = get_type_hints(ModelOptions, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    shared = [
        inspect.Parameter(field.name, keyword, default=field.default, annotation=kinds[field.name])
        for field in fields(ModelOptions)
    ]
    own = get_type_hints(command, include_extras=True)
    shown: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        told = parameter.replace(kind=keyword, annotation=own[parameter.name])
        shown += shared if parameter.name == "asked" else [told]
    flat.__name__, flat.__doc__ = command.__name__, command.__doc__
    flat.__dict__["__signature__"] = inspect.Signature(shown)
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return flat
