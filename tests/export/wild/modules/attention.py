"""Transformers over rows and patches, and a mixer."""

import torch
import torch.nn.functional as F
from torch import nn


class RowTransformer(nn.Module):
    """A row is a word; a class token is repeated for the batch."""

    def __init__(self, dim=16, depth=1, heads=2):
        super().__init__()
        self.embed = nn.Linear(28, dim)
        self.token = nn.Parameter(torch.randn(1, 1, dim))
        self.positions = nn.Parameter(torch.randn(1, 29, dim))
        layer = nn.TransformerEncoderLayer(dim, heads, 2 * dim, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, depth)
        self.head = nn.Linear(dim, 10)

    def forward(self, x):
        x = self.embed(x)
        x = torch.cat([self.token.repeat(x.size(0), 1, 1), x], dim=1) + self.positions
        return self.head(self.encoder(x)[:, 0])


class MeanTransformer(nn.Module):
    """Time first, fixed waves for positions, the mean of all rows."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(28, 16)
        angles = torch.arange(28).unsqueeze(1) * torch.exp(torch.arange(0, 16, 2) * -0.5)
        self.register_buffer("waves", torch.cat([angles.sin(), angles.cos()], 1).unsqueeze(1))
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32, activation="gelu"), 1)
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        x = self.embed(x.squeeze(1)).transpose(0, 1) + self.waves
        return F.log_softmax(self.head(self.encoder(x).mean(0)), dim=-1)


class UnfoldViT(nn.Module):
    """Patches by nn.Unfold, a class token expanded for the batch."""

    def __init__(self, patch=7, dim=16):
        super().__init__()
        self.unfold = nn.Unfold(patch, stride=patch)
        self.embed = nn.Linear(patch * patch, dim)
        self.cls = nn.Parameter(torch.randn(1, 1, dim))
        self.pos = nn.Parameter(torch.randn(1, 1 + (28 // patch) ** 2, dim))
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(dim, 2, 2 * dim, batch_first=True, norm_first=True),
            1,
            enable_nested_tensor=False,
        )
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, 10)

    def forward(self, img):
        x = self.embed(self.unfold(img).transpose(1, 2))
        x = torch.cat((self.cls.expand(x.shape[0], -1, -1), x), dim=1) + self.pos
        return self.head(self.norm(self.encoder(x)[:, 0]))


class OwnAttention(nn.Module):
    """Heads made by hand, patches by a strided convolution."""

    def __init__(self, dim=16, heads=2):
        super().__init__()
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        self.patches = nn.Conv2d(1, dim, 7, stride=7)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.head = nn.Linear(dim, 10)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) * self.scale).softmax(dim=-1)
        x = x + self.proj((weights @ v).transpose(1, 2).reshape(b, n, c))
        return {"logits": self.head(x.mean(1)), "attention": weights}


class RowAttention(nn.Module):
    """One layer of attention among the rows, its weights thrown away."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(28, 16)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.fc = nn.Linear(28 * 16, 10)

    def forward(self, x):
        x = self.embed(x)
        x, _ = self.attention(x, x, x)
        return self.fc(x.flatten(1))


class Mixer(nn.Module):
    """Linear layers across patches and across channels, in turns."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(1, 12, 4, stride=4)
        self.norm = nn.LayerNorm(12)
        self.tokens = nn.Sequential(nn.Linear(49, 24), nn.GELU(), nn.Linear(24, 49))
        self.channels = nn.Sequential(nn.LayerNorm(12), nn.Linear(12, 24), nn.GELU(), nn.Linear(24, 12))
        self.head = nn.Linear(12, 10)

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = x + self.tokens(self.norm(x).transpose(1, 2)).transpose(1, 2)
        x = x + self.channels(x)
        return self.head(x.mean(dim=1))
