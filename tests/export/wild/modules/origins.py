"""Row classifiers and CNNs as the projects write them that edge grew out of."""

import torch
import torch.nn.functional as F
from torch import nn


class RowLSTM(nn.Module):
    """The channel squeezed away, the last step to a linear layer."""

    def __init__(self, hidden=24):
        super().__init__()
        self.lstm = nn.LSTM(28, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, 10)

    def forward(self, x):
        x = x.squeeze(1)
        out, _ = self.lstm(x)
        return self.fc(out[:, -1, :])


class SmallLSTM(nn.Module):
    """Twenty units, the state of the last step, log-softmax."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(28, 20, batch_first=True)
        self.out = nn.Linear(20, 10)

    def forward(self, images):
        rows = images.reshape(-1, 28, 28)
        _, (h_last, _) = self.rnn(rows)
        return F.log_softmax(self.out(h_last[0]), dim=1)


class ReluRNN(nn.Module):
    """Zero states made for the batch at hand, ReLU in the cell."""

    def __init__(self, hidden=24):
        super().__init__()
        self.hidden = hidden
        self.rnn = nn.RNN(28, hidden, batch_first=True, nonlinearity="relu")
        self.head = nn.Linear(hidden, 10)

    def forward(self, x):
        h0 = torch.zeros(1, x.size(0), self.hidden)
        out, _ = self.rnn(x, h0)
        return self.head(out[:, -1])


class Stack(nn.Module):
    """Any of the three cells, two layers, sizes as arguments, states on the device of the input."""

    def __init__(  # noqa: PLR0917 - as people write it
        self, cell, input_size, hidden_size, num_layers, num_classes, bidirectional=False
    ):
        super().__init__()
        self.cell, self.hidden_size, self.num_layers = cell, hidden_size, num_layers
        self.ways = 2 if bidirectional else 1
        self.body = getattr(nn, cell)(
            input_size, hidden_size, num_layers, batch_first=True, bidirectional=bidirectional
        )
        self.fc = nn.Linear(hidden_size * self.ways, num_classes)

    def forward(self, x):
        h0 = torch.zeros(self.num_layers * self.ways, x.size(0), self.hidden_size).to(x.device)
        if self.cell == "LSTM":
            c0 = torch.zeros(self.num_layers * self.ways, x.size(0), self.hidden_size).to(x.device)
            out, _ = self.body(x, (h0, c0))
        else:
            out, _ = self.body(x, h0)
        return self.fc(out[:, -1, :])


class Cnn(nn.Module):
    """Two blocks of convolution, BatchNorm, ReLU and pooling, two linear layers with dropout."""

    def __init__(self):
        super().__init__()
        self.layer1 = nn.Sequential(nn.Conv2d(1, 8, 5, padding=2), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
        self.layer2 = nn.Sequential(nn.Conv2d(8, 12, 5, padding=2), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2))
        self.fc1 = nn.Linear(12 * 7 * 7, 24)
        self.drop = nn.Dropout(0.2)
        self.fc2 = nn.Linear(24, 10)

    def forward(self, x):
        x = self.layer2(self.layer1(x))
        x = x.view(x.size(0), -1)
        return self.fc2(self.drop(F.relu(self.fc1(x))))


class TinyCnn(nn.Module):
    """Few weights, a 1x1 convolution to the classes, average pooling, and a squeeze without an axis at the end."""

    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(1, 8, 3), nn.ReLU(), nn.BatchNorm2d(8), nn.MaxPool2d(2), nn.Conv2d(8, 12, 3), nn.ReLU(),
            nn.BatchNorm2d(12), nn.Dropout(0.1), nn.MaxPool2d(2),
        )  # fmt: skip
        self.classes = nn.Conv2d(12, 10, 1)
        self.gap = nn.AvgPool2d(5)

    def forward(self, x):
        x = self.gap(self.classes(self.block(x)))
        return F.log_softmax(x.squeeze(), dim=1)
