"""The table of checkpoints: every file of network parameters with its source, checksum, size and licence.

A number made with other parameters is another number, so every file is named with its SHA-256 where one can be cited.
A revision or checksum that nobody published is None and shown as `unpinned`; none is invented.
"""

from __future__ import annotations

import os
import urllib.parse
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointFile:
    """One file of a checkpoint."""

    path: str
    """Its name in the checkpoint's folder, and in the hub repository if it comes from one."""
    sha256: str | None
    """64 hexadecimal digits; fewer where only the leading ones were published; None where none were."""
    bytes: int | None
    """Exact size; None where it could not be cited."""
    url: str | None = None
    """Where it is fetched from; None: from the checkpoint's hub repository, or made by the user."""
    instead_of: str | None = None
    """`path` of the file that this one replaces when it lies in the store; never pulled."""
    optional: bool = False
    """Used when it lies in the store, never pulled and never missed."""
    index: bool = False
    """A list of shards: the files that it names, which lie beside it, are needed too."""

    def accepts(self, digest: str) -> bool:
        """A file with this SHA-256 is the published one, or none was published."""
        return self.sha256 is None or digest.startswith(self.sha256)


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """What one network needs to be loaded."""

    name: str
    """Its folder in the store, and its name in `wanbench checkpoints pull NAME`."""
    purpose: str
    """What it is, in a few words."""
    licence: str
    """SPDX identifier where there is one."""
    files: tuple[CheckpointFile, ...]
    repository: str | None = None
    """Hub repository, `owner/name`."""
    revision: str | None = None
    """Commit in the hub repository, 40 hexadecimal digits; None: its newest, shown as `unpinned`."""
    made_by: str | None = None
    """The command that makes the files, where they cannot be fetched."""
    on_request: bool = False
    """Pulled by its name only: tens of gigabytes that measuring does not need."""

    @property
    def required(self) -> tuple[CheckpointFile, ...]:
        """The files that must lie in the store, themselves or through one that is `instead_of` them."""
        return tuple(f for f in self.files if not f.optional and f.instead_of is None)

    @property
    def bytes(self) -> int | None:
        """Size of what `pull` fetches; None where a part of it is not known."""
        sizes = [f.bytes for f in self.required]
        return None if None in sizes else sum(size for size in sizes if size is not None)

    @property
    def pinned(self) -> bool:
        """Every file to fetch has a published checksum, and a hub repository a revision."""
        return all(f.sha256 for f in self.required) and bool(self.revision or not self.repository)

    def url(self, file: CheckpointFile) -> str | None:
        """Where `file` is fetched from; `HF_ENDPOINT` names another hub."""
        if file.url or not self.repository:
            return file.url
        hub = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
        return f"{hub.rstrip('/')}/{self.repository}/resolve/{self.revision or 'main'}/{urllib.parse.quote(file.path)}"


def _wan(
    name: str, repository: str, *, vae: str = "2.1", sharded: bool = True, experts: bool = False, tower: bool = False
) -> Checkpoint:
    """A generator of the Wan family in its released layout; how many shards there are is read from its index.

    No checksum or size of its files could be cited.
    """
    stem = f"diffusion_pytorch_model.safetensors{'.index.json' if sharded else ''}"
    folders = ("low_noise_model/", "high_noise_model/") if experts else ("",)
    paths = [f"{folder}{file}" for folder in folders for file in ("config.json", stem)]
    paths += [f"Wan{vae}_VAE.pth", "models_t5_umt5-xxl-enc-bf16.pth"]
    paths += ["models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"] if tower else []
    paths += [
        f"google/umt5-xxl/{file}"
        for file in ("spiece.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
    ]
    return Checkpoint(
        name=name,
        purpose=f"generator: {repository.partition('/')[2]}",
        licence="Apache-2.0",
        repository=repository,
        files=tuple(CheckpointFile(path=p, sha256=None, bytes=None, index=p.endswith(".index.json")) for p in paths),
        on_request=True,
    )


def _judge(name: str, repository: str, licence: str = "Apache-2.0", *, videos: bool = False) -> Checkpoint:
    """A vision-language model of the Qwen family; how many shards there are is read from its index.

    No checksum or size of its files could be cited.
    """
    needed = ["config.json", "preprocessor_config.json", "chat_template.json", "tokenizer.json", "tokenizer_config.json"]
    needed += ["video_preprocessor_config.json"] if videos else []
    optional = ("generation_config.json", "vocab.json", "merges.txt", *(() if videos else ("video_preprocessor_config.json",)))
    index = CheckpointFile(path="model.safetensors.index.json", sha256=None, bytes=None, index=True)
    return Checkpoint(
        name=name,
        purpose=f"judge: {repository.partition('/')[2]}",
        licence=licence,
        repository=repository,
        files=(
            *(CheckpointFile(path=p, sha256=None, bytes=None) for p in needed),
            index,
            *(CheckpointFile(path=p, sha256=None, bytes=None, optional=True) for p in optional),
        ),
        on_request=True,
    )


JUDGES = (
    _judge("qwen2-vl-2b", "Qwen/Qwen2-VL-2B-Instruct"),
    _judge("qwen2-vl-7b", "Qwen/Qwen2-VL-7B-Instruct"),
    _judge("qwen2.5-vl-3b", "Qwen/Qwen2.5-VL-3B-Instruct", "Qwen Research License: non-commercial"),
    _judge("qwen2.5-vl-7b", "Qwen/Qwen2.5-VL-7B-Instruct"),
    _judge("qwen3-vl-4b", "Qwen/Qwen3-VL-4B-Instruct", videos=True),
    _judge("qwen3-vl-8b", "Qwen/Qwen3-VL-8B-Instruct", videos=True),
)
WAN = (
    _wan("wan-1.3b", "Wan-AI/Wan2.1-T2V-1.3B", sharded=False),
    _wan("wan-14b", "Wan-AI/Wan2.1-T2V-14B"),
    _wan("wan-i2v-14b-480p", "Wan-AI/Wan2.1-I2V-14B-480P", tower=True),
    _wan("wan-i2v-14b-720p", "Wan-AI/Wan2.1-I2V-14B-720P", tower=True),
    _wan("wan-flf2v-14b", "Wan-AI/Wan2.1-FLF2V-14B-720P", tower=True),
    _wan("wan-vace-1.3b", "Wan-AI/Wan2.1-VACE-1.3B", sharded=False),
    _wan("wan-vace-14b", "Wan-AI/Wan2.1-VACE-14B"),
    _wan("wan2.2-t2v-a14b", "Wan-AI/Wan2.2-T2V-A14B", experts=True),
    _wan("wan2.2-i2v-a14b", "Wan-AI/Wan2.2-I2V-A14B", experts=True),
    _wan("wan2.2-ti2v-5b", "Wan-AI/Wan2.2-TI2V-5B", vae="2.2"),
    _wan("wan2.2-s2v-14b", "Wan-AI/Wan2.2-S2V-14B"),
)

TABLE: dict[str, Checkpoint] = {
    c.name: c
    for c in (
        Checkpoint(
            name="raft-large",
            purpose="optical flow: RAFT-large, torchvision's C_T_SKHT_V2",
            licence="BSD-3-Clause",
            files=(
                CheckpointFile(
                    path="raft_large_C_T_SKHT_V2-ff5fadd5.pth",
                    # torchvision publishes the first eight digits, in the name; the rest and the size are what several
                    # public projects record of the same file.
                    sha256="ff5fadd56d26b40647388883af1547351ea17868b765c05b27231e72dd16a322",
                    bytes=21_106_607,
                    url="https://download.pytorch.org/models/raft_large_C_T_SKHT_V2-ff5fadd5.pth",
                ),
            ),
        ),
        Checkpoint(
            name="dino-vitb16",
            purpose="image features for identity: DINO ViT-B/16 (arXiv 2104.14294)",
            licence="Apache-2.0",
            repository="facebook/dino-vitb16",
            revision="f205d5d8e640a89a2b8ef0369670dfc37cc07fc2",
            files=(
                CheckpointFile(
                    path="config.json",
                    sha256="b87c0270b97db085fd82cf114a761fd0f62ae7914fbd407c752a2260646b689c",
                    bytes=454,
                ),
                CheckpointFile(
                    # The checksum that a public project checks its download of the repository's main branch against.
                    path="pytorch_model.bin",
                    sha256="a064e36c67289caaa5c949c0b3f7f31a0fcbcba5721f5fa12419933ec1f4fe6e",
                    bytes=None,
                ),
                CheckpointFile(path="model.safetensors", sha256=None, bytes=None, instead_of="pytorch_model.bin"),
            ),
        ),
        Checkpoint(
            name="clip-vit-l14",
            purpose="image and text features: OpenAI's CLIP ViT-L/14 (arXiv 2103.00020) in open_clip's layout",
            licence="MIT",
            repository="timm/vit_large_patch14_clip_224.openai",
            revision="18d0535469bb561bf468d76c1d73aa35156c922b",
            files=(
                CheckpointFile(
                    path="open_clip_model.safetensors",
                    sha256="9ce2e8a8ebfff3793d7d375ad6d3c35cb9aebf3de7ace0fc7308accab7cd207e",
                    bytes=1_710_517_724,
                ),
                CheckpointFile(path="open_clip_config.json", sha256=None, bytes=None, optional=True),
            ),
        ),
        Checkpoint(
            name="laion-aesthetic",
            purpose="aesthetic score: LAION's improved predictor on CLIP ViT-L/14 features",
            licence="Apache-2.0",
            files=(
                CheckpointFile(
                    path="sac+logos+ava1-l14-linearMSE.pth",
                    sha256="21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0",
                    bytes=3_714_759,
                    url="https://github.com/christophschuhmann/improved-aesthetic-predictor/raw/"
                    "6934dd81792f086e613a121dbce43082cb8be85e/sac%2Blogos%2Bava1-l14-linearMSE.pth",
                ),
            ),
        ),
        Checkpoint(
            name="maniqa",
            purpose="image quality: MANIQA (arXiv 2204.08958), its authors' KonIQ-10k release",
            licence="Apache-2.0",
            files=(
                CheckpointFile(
                    path="ckpt_koniq10k.pt",
                    sha256="a207f8ab57322e6be38ff5c8d019301dc032b454bef21c3c9f9dbf7974eebff6",
                    bytes=543_335_435,
                    url="https://github.com/IIGROUP/MANIQA/releases/download/Koniq10k/ckpt_koniq10k.pt",
                ),
                CheckpointFile(path="config.json", sha256=None, bytes=None, optional=True),
            ),
        ),
        Checkpoint(
            name="musiq",
            purpose="image quality: MUSIQ (arXiv 2108.05997), KonIQ-10k, in pyiqa's layout",
            licence="CC-BY-NC-SA-4.0",
            repository="chaofengc/IQA-PyTorch-Weights",
            revision="0df2df423c65f6a64209309695f3845727431027",
            files=(
                CheckpointFile(
                    path="musiq_koniq_ckpt-e95806b9.pth",
                    sha256="e95806b9eae5f3814c410f574ba8e552362bd5bc63d758ed5b97860f5d6185aa",
                    bytes=108_610_983,
                ),
                CheckpointFile(path="config.json", sha256=None, bytes=None, optional=True),
            ),
        ),
        Checkpoint(
            name="person-detector",
            purpose="whether a clip shows people: torchvision's Faster R-CNN MobileNetV3-Large FPN, COCO_V1",
            licence="BSD-3-Clause",
            files=(
                CheckpointFile(
                    path="fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7.pth",
                    sha256="fb6a3cc702b1df54c18a44b26708cd083614211062d0c36d2ca7bf9270df3533",
                    bytes=77_844_807,
                    url="https://download.pytorch.org/models/fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7.pth",
                ),
                CheckpointFile(path="config.json", sha256=None, bytes=None, optional=True),
            ),
        ),
        Checkpoint(
            name="inception-fid",
            purpose="features of FID: the TensorFlow archive inception-2015-12-05, as converted by pytorch-fid",
            licence="Apache-2.0",
            files=(
                CheckpointFile(
                    # The first eight digits stand in the name; the rest and the size are what several public projects
                    # record of the same file.
                    path="pt_inception-2015-12-05-6726825d.pth",
                    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
                    bytes=95_628_359,
                    url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
                    "pt_inception-2015-12-05-6726825d.pth",
                ),
            ),
        ),
        Checkpoint(
            name="yolov3-artifacts",
            purpose="artifacts on people: YOLOv3 (arXiv 1804.02767), trained by the user",
            licence="the user's own",
            made_by="wanbench train artifacts DATA",
            files=(
                CheckpointFile(path="detector.safetensors", sha256=None, bytes=None),
                CheckpointFile(path="detector.json", sha256=None, bytes=None),
            ),
        ),
        *WAN,
        *JUDGES,
    )
}
"""Every checkpoint by name."""
