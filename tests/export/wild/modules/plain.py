"""Networks without time: fully connected ones and convolutions."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations


class Mlp(nn.Module):
    """Flat pictures, softmax at the end."""

    def __init__(self, *sizes):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        return F.softmax(self.layers[-1](x), dim=1)


class Example(nn.Module):
    """The example that everybody starts with: normalised pictures, dropout, log-softmax."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 3, 1)
        self.conv2 = nn.Conv2d(6, 8, 3, 1)
        self.dropout1 = nn.Dropout(0.25)
        self.fc1 = nn.Linear(8 * 12 * 12, 16)
        self.fc2 = nn.Linear(16, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = self.dropout1(F.max_pool2d(x, 2))
        x = torch.flatten(x, 1)
        return F.log_softmax(self.fc2(F.relu(self.fc1(x))), dim=1)


class LeNet(nn.Module):
    """tanh and average pooling."""

    def __init__(self):
        super().__init__()
        self.c1 = nn.Conv2d(1, 6, 5, padding=2)
        self.c3 = nn.Conv2d(6, 16, 5)
        self.f6 = nn.Linear(16 * 5 * 5, 24)
        self.out = nn.Linear(24, 10)

    def forward(self, x):
        x = F.avg_pool2d(torch.tanh(self.c1(x)), 2)
        x = F.avg_pool2d(torch.tanh(self.c3(x)), 2)
        return self.out(torch.tanh(self.f6(x.view(-1, 400))))


class BasicBlock(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, wide, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(wide, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.shortcut = nn.Sequential()
        if stride != 1 or wide != out:
            self.shortcut = nn.Sequential(nn.Conv2d(wide, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return F.relu(out)


class ResNet(nn.Module):
    """Blocks by their class and number, as the papers' code has them."""

    def __init__(self, block, counts, in_channels=1, num_classes=10):
        super().__init__()
        wide = 8
        self.conv1 = nn.Conv2d(in_channels, wide, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide)
        layers = []
        for number, count in enumerate(counts):
            out = 8 * 2**number
            for place in range(count):
                layers.append(block(wide, out, 2 if place == 0 else 1))
                wide = out
        self.layers = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(wide, num_classes)

    def forward(self, x):
        x = self.layers(F.relu(self.bn1(self.conv1(x))))
        return self.linear(self.pool(x).flatten(1))


class Separable(nn.Module):
    """Depthwise convolutions, GroupNorm, SiLU, a gate on the channels."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, 2, 1)
        self.depth = nn.Conv2d(8, 8, 3, 1, 1, groups=8)
        self.norm = nn.GroupNorm(2, 8)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 4, 1), nn.ReLU(), nn.Conv2d(4, 8, 1), nn.Sigmoid()
        )
        self.point = nn.Conv2d(8, 16, 1)
        self.head = nn.Linear(16 * 7 * 7, 10)

    def forward(self, x):
        x = F.silu(self.norm(self.depth(self.stem(x))))
        x = self.point(x * self.gate(x))
        return self.head(F.max_pool2d(F.hardswish(x), 2).flatten(1))


class AlwaysDrops(nn.Module):
    """F.dropout without `training`, which is on in evaluation too, and a norm of the weights."""

    def __init__(self):
        super().__init__()
        self.conv = parametrizations.weight_norm(nn.Conv2d(1, 6, 5, stride=2))
        self.fc1 = nn.Linear(6 * 12 * 12, 16)
        self.fc2 = nn.Linear(16, 10)

    def forward(self, x):
        x = F.leaky_relu(self.conv(x)).flatten(start_dim=1)
        x = F.dropout(F.elu(self.fc1(x)), p=0.5)
        return self.fc2(x)


class Scores(nn.Module):
    """A sigmoid for each class."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.ReLU(), nn.Linear(16, 10))

    def forward(self, x):
        return torch.sigmoid(self.body(x))


def sequential(hidden):
    """A function in the place of a class."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, hidden), nn.Tanh(), nn.Linear(hidden, 10))
