"""Habits of people's code: states in attributes, sizes written down, settings as one argument, other outputs first."""

from dataclasses import dataclass

import lightning_not_installed as L
import torch
import torch.nn.functional as F
from metrics_not_installed import Accuracy
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class KeepsHidden(nn.Module):
    """Goes on from the state in an attribute, which a method sets before each batch."""

    def __init__(self, hidden_dim=24, batch_size=64):
        super().__init__()
        self.hidden_dim = hidden_dim
        self.lstm = nn.LSTM(28, hidden_dim)
        self.linear = nn.Linear(hidden_dim, 10)
        self.hidden = self.init_hidden(batch_size)

    def init_hidden(self, batch_size):
        return torch.zeros(1, batch_size, self.hidden_dim), torch.zeros(1, batch_size, self.hidden_dim)

    def forward(self, x):
        out, self.hidden = self.lstm(x.permute(1, 0, 2), self.hidden)
        return self.linear(out[-1])


class FixedBatch(nn.Module):
    """The size of the batch is an argument of the class."""

    def __init__(self, batch_size, hidden_size):
        super().__init__()
        self.batch_size, self.hidden_size = batch_size, hidden_size
        self.gru = nn.GRU(28, hidden_size, batch_first=True)
        self.out = nn.Linear(hidden_size, 10)

    def forward(self, x):
        h = torch.zeros(1, self.batch_size, self.hidden_size)
        out, _ = self.gru(x.view(self.batch_size, 28, 28), h)
        return self.out(out[:, -1, :])


class Lengths(nn.Module):
    """Wants the lengths of the sequences, and means over them."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(28, 12, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(24, 10)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        out, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True)
        return self.fc(out.sum(1) / lengths.unsqueeze(1).float())


class Embedded(nn.Module):
    """Looks the bytes of the pixels up."""

    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(256, 1)
        self.fc = nn.Sequential(nn.Linear(784, 16), nn.ReLU(), nn.Linear(16, 10))

    def forward(self, x):
        return self.fc(self.emb(x.long()).flatten(1))


class LeNet32(nn.Module):
    """For pictures of 32x32."""

    def __init__(self):
        super().__init__()
        self.convnet = nn.Sequential(
            nn.Conv2d(1, 4, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 5), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.fc = nn.Sequential(nn.Linear(6 * 25, 20), nn.ReLU(), nn.Linear(20, 10), nn.LogSoftmax(dim=-1))

    def forward(self, img):
        return self.fc(self.convnet(img).view(img.size(0), -1))


class AnySize(nn.Module):
    """Takes any size."""

    def __init__(self):
        super().__init__()
        self.c = nn.Sequential(nn.Conv2d(1, 6, 5, 4, 2), nn.ReLU(), nn.Conv2d(6, 12, 3, 2, 1), nn.ReLU())
        self.fc = nn.Linear(12 * 16, 10)

    def forward(self, x):
        return self.fc(F.adaptive_avg_pool2d(self.c(x), 4).flatten(1))


class FeaturesToo(nn.Module):
    """What enters the last layer comes before the logits."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 5, 2), nn.ReLU(), nn.Flatten(), nn.Linear(576, 16), nn.ReLU())
        self.out = nn.Linear(16, 10)

    def forward(self, x):
        features = self.body(x)
        return features, self.out(features)


@dataclass
class Config:
    hidden: int = 16
    act: str = "gelu"
    classes: int = 10


class ConfigNet(nn.Module):
    """All settings as one argument."""

    def __init__(self, config):
        super().__init__()
        self.f1, self.f2 = nn.Linear(784, config.hidden), nn.Linear(config.hidden, config.classes)
        self.act = getattr(F, config.act)

    def forward(self, x):
        return self.f2(self.act(self.f1(x.flatten(1))))


class LitNet(L.LightningModule):
    """Lightning's, with a metric."""

    def __init__(self, hidden, learning_rate=1e-3):
        super().__init__()
        self.save_hyperparameters()
        self.rnn = nn.RNN(28, self.hparams.hidden, batch_first=True)
        self.fc = nn.Linear(self.hparams.hidden, 10)
        self.accuracy = Accuracy(task="multiclass", num_classes=10)

    def forward(self, x):
        return self.fc(self.rnn(x.view(-1, 28, 28))[1][-1])


class Backwards(nn.Module):
    """The rows from the last to the first; noise that evaluation should not have."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(28, 16, batch_first=True)
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        h0 = torch.randn(1, x.size(0), 16) * 1e-9
        return self.fc(self.lstm(torch.flip(x, dims=[1]), (h0, h0))[0][:, -1])


class OnePicture(nn.Module):
    """Takes one picture, and gives its probabilities without an axis for a batch."""

    def __init__(self):
        super().__init__()
        self.f1, self.f2 = nn.Linear(784, 16), nn.Linear(16, 10)

    def forward(self, x):
        return F.softmax(self.f2(F.relu(self.f1(x.flatten(1)[0]))), dim=0)


class Loops(OnePicture):
    """Goes through its pictures in a loop, and gives a loss before the logits."""

    def forward(self, x, labels):
        given = torch.zeros(len(x), 10)
        for place, picture in enumerate(x):
            given[place] = self.f2(F.relu(self.f1(picture.flatten())))
        return F.cross_entropy(given, labels), given


class Small(nn.Module):
    """For pictures of 14x14."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(196, 16), nn.ReLU(), nn.Linear(16, 10))

    def forward(self, x):
        return self.body(x)

    def train(self, loader):
        raise SystemExit("trains")


net = nn.Sequential(nn.Flatten(), nn.Linear(784, 16), nn.ReLU(), nn.Linear(16, 10))


class RowAtACall(nn.Module):
    """Takes a row at a call; the loop over the rows is that of the training."""

    def __init__(self, input_size, hidden_size, output_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.i2h = nn.Linear(input_size + hidden_size, hidden_size)
        self.i2o = nn.Linear(input_size + hidden_size, output_size)
        self.softmax = nn.LogSoftmax(dim=1)

    def forward(self, row, hidden):
        combined = torch.cat((row, hidden), 1)
        hidden = torch.tanh(self.i2h(combined))
        return self.softmax(self.i2o(combined)), hidden

    def initHidden(self):
        return torch.zeros(1, self.hidden_size)
