"""A store of random parameters: every checkpoint in the file layout of the published one, small or of full size.

With it the real loading code and all of profile `reference` run on any CPU; nothing is said of what trained parameters measure.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from wanbench import checkpoints
from wanbench.metrics.nets import aesthetic, clip, dino, maniqa, musiq, person, raft, yolov3

Tensors = dict[str, Any]

CLIP_CONFIG: dict[str, Any] = {
    "embed_dim": 12,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 28, "layers": 2, "width": 32, "head_width": 16, "patch_size": 14},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
DINO_CONFIG = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 24, "image_size": 32, "patch_size": 16,
}  # fmt: skip
MANIQA_OPTIONS: dict[str, Any] = {
    "vit": {"embed_dim": 16, "depth": 10, "num_heads": 2},
    "embed_dim": 16,
    "dim_mlp": 16,
    "depths": [1, 1],
    "num_heads": [2, 2],
    "num_tab": 1,
}
MUSIQ_OPTIONS = {"hidden_size": 24, "mlp_dim": 32, "num_heads": 2, "num_layers": 2, "longer_side_lengths": [32, 64]}
PERSON_OPTIONS = {"min_size": 96, "max_size": 160, "rpn_post_nms_top_n_test": 30}
ARTIFACT_CLASSES = ["hand", "face"]
RAFT_DAMPING = 0.008
PERSON_BIAS = 8.0
"""Of 91 classes with logits near 0, a person then has a probability of over 0.9 wherever one looks."""

TENSOR_FILES = {
    raft.CHECKPOINT: raft.FILE,
    dino.CHECKPOINT: dino.TENSORS_FILE,
    clip.CHECKPOINT: clip.FILE,
    aesthetic.CHECKPOINT: aesthetic.FILE,
    maniqa.CHECKPOINT: maniqa.FILE,
    musiq.CHECKPOINT: musiq.FILE,
    person.CHECKPOINT: person.FILE,
    yolov3.CHECKPOINT: yolov3.TENSORS_FILE,
}
"""Checkpoint -> the file of its tensors."""
TELLING_TENSORS = {
    raft.CHECKPOINT: "update_block.flow_head.conv2.weight",
    dino.CHECKPOINT: "encoder.layer.1.output.dense.weight",
    clip.CHECKPOINT: "visual.proj",
    aesthetic.CHECKPOINT: "layers.7.weight",
    maniqa.CHECKPOINT: "fc_score.0.weight",
    musiq.CHECKPOINT: "head.weight",
    person.CHECKPOINT: "roi_heads.box_predictor.cls_score.bias",
    yolov3.CHECKPOINT: "model.20.cv3.0.2.bias",
}
"""Checkpoint -> a tensor of it whose change shows in what is measured."""


def write_store(home: Path, full: bool = False, only: Iterable[str] = TENSOR_FILES) -> Path:
    """The checkpoints named `only` into `home`, as WANBENCH_HOME names it: small ones take a second and 120 MB, those of `full`
    size half a minute and 3 GB."""
    for name in only:
        where = home / "checkpoints" / name
        where.mkdir(parents=True, exist_ok=True)
        tensors, texts = PARAMETERS[name](full)
        write_tensors(where / TENSOR_FILES[name], tensors)
        for file, content in texts.items():
            write_description(where / file, content)
    return home


def write_tensors(path: Path, tensors: Mapping[str, Any]) -> None:
    """In the format that the extension means; a detector's description is kept true to its tensors."""
    import safetensors.torch
    import torch

    if path.suffix == ".safetensors":
        safetensors.torch.save_file({n: t.contiguous() for n, t in tensors.items()}, path)
    else:
        torch.save(dict(tensors), path)
    description = path.with_name(yolov3.DESCRIPTION_FILE)
    if description.exists():
        write_description(description, json.loads(description.read_bytes()))


def write_description(path: Path, content: Mapping[str, Any]) -> None:
    """Write a description; the artifact detector's names the checksum of the tensors beside it."""
    if path.name == yolov3.DESCRIPTION_FILE:
        content = {**content, "sha256": hashlib.sha256(path.with_name(yolov3.TENSORS_FILE).read_bytes()).hexdigest()}
    path.write_text(json.dumps(content))


def tensors_of(home: Path, name: str) -> tuple[Path, Tensors]:
    """The file of a checkpoint in the store, and what it holds."""
    path = home / "checkpoints" / name / TENSOR_FILES[name]
    return path, checkpoints.load_tensors(path)


def perturb(home: Path, name: str) -> None:
    """Change the telling tensor of one checkpoint."""
    import torch

    path, tensors = tensors_of(home, name)
    tensor = tensors[TELLING_TENSORS[name]]
    noise = torch.rand(tensor.shape, generator=torch.Generator().manual_seed(2))
    write_tensors(path, {**tensors, TELLING_TENSORS[name]: tensor + 0.3 * noise * tensor.abs().max()})


def shaken(tensors: Mapping[str, Any], lowest: float = 0.0, highest: float = 0.1) -> Tensors:
    """The tensors with uniform noise added, so that no bias is 0 and no norm's weight 1."""
    import torch

    generator = torch.Generator().manual_seed(1)
    return {
        name: t + lowest + (highest - lowest) * torch.rand(t.shape, generator=generator) if t.is_floating_point() else t.clone()
        for name, t in tensors.items()
    }


def settle(module: Any, full: bool) -> None:
    """Give batch norms the statistics of smooth random pictures: with random ones the signal dies, or swells, on its way down."""
    import torch

    coarse = torch.rand(4, 3, 8, 12, generator=torch.Generator().manual_seed(3))
    pictures = torch.nn.functional.interpolate(coarse, size=(384, 640) if full else (64, 96), mode="bicubic").clamp(0, 1)
    with torch.no_grad():
        for norm in module.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.momentum = None
        module.train()(pictures)
        module.eval()


Parameters = tuple[Tensors, dict[str, Any]]
"""Tensors under their published names, and descriptions by file name."""


def raft_parameters(full: bool) -> Parameters:
    """Always of full size: it is small. Its last layer is damped, so that flow is slow and parts of a picture are static."""
    import torch
    from torchvision.models.optical_flow import raft_large

    torch.manual_seed(0)
    tensors = raft_large(weights=None, progress=False).state_dict()
    for kind in ("weight", "bias"):
        tensors[f"update_block.flow_head.conv2.{kind}"] *= RAFT_DAMPING
    return dict(tensors), {}


def dino_parameters(full: bool) -> Parameters:
    """ViT-B/16, or two narrow layers."""
    import torch
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    config = ViTConfig(**({} if full else DINO_CONFIG))
    tensors = shaken(ViTModel(config, add_pooling_layer=False).state_dict(), highest=0.0 if full else 0.1)
    return {published_name(n): t for n, t in tensors.items()}, {dino.CONFIG_FILE: config.to_dict()}


def published_name(library_name: str) -> str:
    """transformers' name of today -> that of the published DINO file."""
    name = f"encoder.{library_name}".replace("layers.", "layer.") if library_name.startswith("layers.") else library_name
    for now, then in (
        (".attention.q_proj.", ".attention.attention.query."),
        (".attention.k_proj.", ".attention.attention.key."),
        (".attention.v_proj.", ".attention.attention.value."),
        (".attention.o_proj.", ".attention.output.dense."),
        (".mlp.fc1.", ".intermediate.dense."),
        (".mlp.fc2.", ".output.dense."),
    ):
        name = name.replace(now, then)
    return name


def clip_parameters(full: bool) -> Parameters:
    """ViT-L/14, or two narrow layers for pictures of 28 pixels and two for words."""
    import open_clip
    import torch

    torch.manual_seed(0)
    if full:
        return dict(open_clip.CLIP(**open_clip.get_model_config(clip.ARCHITECTURE)).state_dict()), {}
    return shaken(open_clip.CLIP(**CLIP_CONFIG).state_dict()), {
        clip.CONFIG_FILE: {"model_cfg": CLIP_CONFIG, "preprocess_cfg": {}}
    }


def aesthetic_parameters(full: bool) -> Parameters:
    """As wide as CLIP's embeddings; ratings around 5."""
    import torch

    generator = torch.Generator().manual_seed(0)
    widths = (768 if full else CLIP_CONFIG["embed_dim"], *aesthetic.WIDTHS)
    tensors: Tensors = {}
    for place, width_in, width_out in zip(aesthetic.PLACES, widths, aesthetic.WIDTHS, strict=False):
        tensors[f"layers.{place}.weight"] = torch.randn(width_out, width_in, generator=generator) / width_in**0.5
        tensors[f"layers.{place}.bias"] = torch.full((width_out,), 5.0 if width_out == 1 else 0.0)
    return tensors, {}


def maniqa_parameters(full: bool) -> Parameters:
    """The authors' size, or all of its parts narrow; the scores pass a ReLU, which a bias keeps alive."""
    import pyiqa.archs.maniqa_arch as arch
    import torch

    torch.manual_seed(0)
    options = {} if full else dict(MANIQA_OPTIONS)
    with maniqa._untrained_backbone(arch, options.pop("vit", {})):
        # Noise of one sign would blow the numbers up in layers 784 wide.
        reach = 0.0 if full else 0.1
        tensors = shaken(arch.MANIQA(pretrained=False, **options).state_dict(), -reach, reach)
    tensors["fc_score.3.bias"] += 0.5
    return tensors, {} if full else {"config.json": MANIQA_OPTIONS}


def musiq_parameters(full: bool) -> Parameters:
    """pyiqa's size, or two narrow layers on two scales; scores around 50."""
    import pyiqa.archs.musiq_arch as arch
    import torch

    torch.manual_seed(0)
    options: dict[str, Any] = {} if full else MUSIQ_OPTIONS
    tensors = shaken(arch.MUSIQ(pretrained=False, **options).state_dict(), highest=0.0 if full else 0.1)
    tensors["head.bias"] += 50
    return tensors, {} if full else {"config.json": MUSIQ_OPTIONS}


def person_parameters(full: bool, bias: float = PERSON_BIAS) -> Parameters:
    """Always of full size, but working on small pictures unless `full`; biased so that there are people wherever one looks."""
    import torch
    from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_fpn

    torch.manual_seed(0)
    module: Any = fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None, progress=False)
    settle(module.backbone, full)
    tensors = module.state_dict()
    tensors["roi_heads.box_predictor.cls_score.bias"][person.PERSON] += bias
    box, first = "roi_heads.box_predictor", "rpn.head"
    for part in (f"{box}.cls_score", f"{box}.bbox_pred", f"{first}.cls_logits", f"{first}.bbox_pred"):
        tensors[f"{part}.weight"] *= 0.05
    return dict(tensors), {} if full else {"config.json": PERSON_OPTIONS}


def artifact_parameters(full: bool) -> Parameters:
    """YOLOv3, or a tenth-wide YOLOv3-tiny; biased so that there are boxes inside the frame, of both classes."""
    import torch

    torch.manual_seed(0)
    layers = yolov3.layers_of("yolov3u" if full else "yolov3-tinyu", "test") | ({} if full else {"width_multiple": 0.1})
    module = yolov3.network_of(layers, len(ARTIFACT_CLASSES))
    settle(module, full)
    tensors = dict(module.state_dict())
    for name in tensors:
        if re.search(r"\.cv3\.\d\.2\.bias$", name):  # probabilities of the classes
            tensors[name] = torch.tensor([-2.0, -2.4])
        elif re.search(r"\.cv2\.\d\.2\.bias$", name):
            # Sixteen distances on each side of a box: the near ones are likelier, so that boxes end inside the frame.
            tensors[name] = torch.arange(16).mul(-0.5).repeat(4)
    description = {"version": 1, "architecture": layers, "classes": ARTIFACT_CLASSES, "input_pixels": 640 if full else 96}
    return tensors, {yolov3.DESCRIPTION_FILE: description}


PARAMETERS: dict[str, Callable[[bool], Parameters]] = {
    raft.CHECKPOINT: raft_parameters,
    dino.CHECKPOINT: dino_parameters,
    clip.CHECKPOINT: clip_parameters,
    aesthetic.CHECKPOINT: aesthetic_parameters,
    maniqa.CHECKPOINT: maniqa_parameters,
    musiq.CHECKPOINT: musiq_parameters,
    person.CHECKPOINT: person_parameters,
    yolov3.CHECKPOINT: artifact_parameters,
}
"""Checkpoint -> what makes its parameters, small or of full size."""
