"""Inception-v3 (arXiv 1512.00567) as FID was defined on it: the network of the archive `inception-2015-12-05`.

Its tensors have the names and shapes of torchvision's Inception-v3, apart from the last layer's 1,008 classes, and each of these
differences from torchvision's network moves the numbers without any complaint:

1. average pools (3x3, stride 1, in blocks A and C, and in the first block E) divide by the pixels there are, not by nine: the
   padding does not count;
2. the pool branch of the second block E, the last of the network, takes the maximum instead of the average;
3. there are 1,008 classes, and no auxiliary classifier;
4. pictures come in -1 to 1, at 299 x 299, without ImageNet's mean and deviation.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

FEATURES, CLASSES = 2048, 1008
NORM_EPS = 0.001
"""Of the published network; PyTorch's own default is a hundredth of it."""
Pool = Callable[[torch.Tensor], torch.Tensor]


def average(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) mean of the 3x3 neighbours that lie inside the picture."""
    return functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


def largest(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) maximum of the 3x3 neighbours."""
    return functional.max_pool2d(x, 3, stride=1, padding=1)


def halve(x: torch.Tensor) -> torch.Tensor:
    return functional.max_pool2d(x, 3, stride=2)


class Convolution(nn.Module):
    """Convolution, batch norm, ReLU; `padding` keeps the size of an odd kernel unless the stride is 2."""

    def __init__(self, width_in: int, width: int, kernel: int | tuple[int, int] = 1, stride: int = 1, same: bool = True) -> None:
        super().__init__()
        high, wide = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (high // 2, wide // 2) if same else (0, 0)
        self.conv = nn.Conv2d(width_in, width, (high, wide), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=NORM_EPS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.bn(self.conv(x)), inplace=True)


class BlockA(nn.Module):
    """35 x 35: 1x1, 5x5, two 3x3, pool."""

    def __init__(self, width_in: int, pool_width: int) -> None:
        super().__init__()
        self.branch1x1 = Convolution(width_in, 64)
        self.branch5x5_1 = Convolution(width_in, 48)
        self.branch5x5_2 = Convolution(48, 64, 5)
        self.branch3x3dbl_1 = Convolution(width_in, 64)
        self.branch3x3dbl_2 = Convolution(64, 96, 3)
        self.branch3x3dbl_3 = Convolution(96, 96, 3)
        self.branch_pool = Convolution(width_in, pool_width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), self.branch5x5_2(self.branch5x5_1(x)), double, self.branch_pool(average(x))], 1)


class BlockB(nn.Module):
    """35 x 35 to 17 x 17."""

    def __init__(self, width_in: int) -> None:
        super().__init__()
        self.branch3x3 = Convolution(width_in, 384, 3, stride=2, same=False)
        self.branch3x3dbl_1 = Convolution(width_in, 64)
        self.branch3x3dbl_2 = Convolution(64, 96, 3)
        self.branch3x3dbl_3 = Convolution(96, 96, 3, stride=2, same=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.branch3x3(x), self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))), halve(x)], 1)


class BlockC(nn.Module):
    """17 x 17: 1x1, one and two 7x7 taken apart into 1x7 and 7x1, pool."""

    def __init__(self, width_in: int, narrow: int) -> None:
        super().__init__()
        across, down = (1, 7), (7, 1)
        self.branch1x1 = Convolution(width_in, 192)
        self.branch7x7_1 = Convolution(width_in, narrow)
        self.branch7x7_2 = Convolution(narrow, narrow, across)
        self.branch7x7_3 = Convolution(narrow, 192, down)
        self.branch7x7dbl_1 = Convolution(width_in, narrow)
        self.branch7x7dbl_2 = Convolution(narrow, narrow, down)
        self.branch7x7dbl_3 = Convolution(narrow, narrow, across)
        self.branch7x7dbl_4 = Convolution(narrow, narrow, down)
        self.branch7x7dbl_5 = Convolution(narrow, 192, across)
        self.branch_pool = Convolution(width_in, 192)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(x), single, double, self.branch_pool(average(x))], 1)


class BlockD(nn.Module):
    """17 x 17 to 8 x 8."""

    def __init__(self, width_in: int) -> None:
        super().__init__()
        self.branch3x3_1 = Convolution(width_in, 192)
        self.branch3x3_2 = Convolution(192, 320, 3, stride=2, same=False)
        self.branch7x7x3_1 = Convolution(width_in, 192)
        self.branch7x7x3_2 = Convolution(192, 192, (1, 7))
        self.branch7x7x3_3 = Convolution(192, 192, (7, 1))
        self.branch7x7x3_4 = Convolution(192, 192, 3, stride=2, same=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(x)), seven, halve(x)], 1)


class BlockE(nn.Module):
    """8 x 8: 1x1, 3x3 as 1x3 beside 3x1, the same after a 3x3, pool. The pool is the average in one, the maximum in the other."""

    def __init__(self, width_in: int, pool: Pool) -> None:
        super().__init__()
        across, down = (1, 3), (3, 1)
        self.branch1x1 = Convolution(width_in, 320)
        self.branch3x3_1 = Convolution(width_in, 384)
        self.branch3x3_2a = Convolution(384, 384, across)
        self.branch3x3_2b = Convolution(384, 384, down)
        self.branch3x3dbl_1 = Convolution(width_in, 448)
        self.branch3x3dbl_2 = Convolution(448, 384, 3)
        self.branch3x3dbl_3a = Convolution(384, 384, across)
        self.branch3x3dbl_3b = Convolution(384, 384, down)
        self.branch_pool = Convolution(width_in, 192)
        self.pool = pool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        single, double = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        branches = [self.branch1x1(x), self.branch3x3_2a(single), self.branch3x3_2b(single)]
        branches += [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double), self.branch_pool(self.pool(x))]
        return torch.cat(branches, 1)


class FidInception(nn.Module):
    """(N, 3, 299, 299) in -1 to 1 -> (N, 2048) pool features. `fc` is loaded, for it is in the file, and not used by FID."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Convolution(3, 32, 3, stride=2, same=False)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3, same=False)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3)
        self.Conv2d_3b_1x1 = Convolution(64, 80)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3, same=False)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = BlockA(192, 32), BlockA(256, 64), BlockA(288, 64)
        self.Mixed_6a = BlockB(288)
        self.Mixed_6b, self.Mixed_6c = BlockC(768, 128), BlockC(768, 160)
        self.Mixed_6d, self.Mixed_6e = BlockC(768, 160), BlockC(768, 192)
        self.Mixed_7a = BlockD(768)
        self.Mixed_7b, self.Mixed_7c = BlockE(1280, average), BlockE(2048, largest)
        self.fc = nn.Linear(FEATURES, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = halve(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))))
        x = halve(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        return x.mean(dim=(2, 3))
