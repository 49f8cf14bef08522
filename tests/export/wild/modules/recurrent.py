"""Recurrent classifiers in the forms that tutorials and course work have them."""

import torch
import torch.nn.functional as F
from torch import nn


class TimeFirst(nn.Module):
    """Torch's default order: the caller turns the batch."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(28, 24)
        self.fc = nn.Linear(24, 10)

    def forward(self, seq):
        out, _ = self.lstm(seq)
        return self.fc(out[-1])


class KeepsBatchSize(nn.Module):
    """Turns the batch itself, remembers its size, makes its first state in a method."""

    def __init__(self, n_neurons=24):
        super().__init__()
        self.n_neurons = n_neurons
        self.batch_size = None
        self.basic_rnn = nn.RNN(28, n_neurons)
        self.FC = nn.Linear(n_neurons, 10)

    def init_hidden(self):
        return torch.zeros(1, self.batch_size, self.n_neurons)

    def forward(self, x):
        x = x.permute(1, 0, 2)
        self.batch_size = x.size(1)
        _, hidden = self.basic_rnn(x, self.init_hidden())
        return self.FC(hidden).view(-1, 10)


class WithStates(nn.Module):
    """Gives the states back beside the logits."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(28, 24, batch_first=True)
        self.fc = nn.Linear(24, 10)

    def forward(self, x, hidden=None):
        out, hidden = self.gru(x, hidden)
        return self.fc(out[:, -1]), hidden


class WantsStates(nn.Module):
    """Wants its first states from the caller, and has a method that makes them."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(28, 24, 2, batch_first=True)
        self.fc = nn.Linear(24, 10)

    def init_hidden(self, batch_size):
        weight = next(self.parameters())
        return weight.new_zeros(2, batch_size, 24), weight.new_zeros(2, batch_size, 24)

    def forward(self, x, hidden):
        h, c = hidden
        out, _ = self.lstm(x, (h, c))
        return F.log_softmax(self.fc(out[:, -1]), dim=1)


class Normed(nn.Module):
    """BatchNorm and dropout between the state and the classes."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(28, 24, batch_first=True)
        self.bn = nn.BatchNorm1d(24)
        self.dropout = nn.Dropout(0.3)
        self.fc = nn.Linear(24, 10)

    def forward(self, x):
        x = x.view(-1, 28, 28)
        _, (h, _) = self.lstm(x)
        return self.fc(self.dropout(self.bn(h[-1])))


class AllSteps(nn.Module):
    """Every step, flattened, to the classes."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(28, 12, batch_first=True)
        self.fc = nn.Linear(12 * 28, 10)

    def forward(self, x):
        out, _ = self.rnn(x)
        return self.fc(out.reshape(out.shape[0], -1))


class MeanOfSteps(nn.Module):
    """The mean of all steps."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(28, 24, batch_first=True)
        self.fc = nn.Linear(24, 10)

    def forward(self, x):
        return self.fc(self.gru(x)[0].mean(dim=1))


class BiMax(nn.Module):
    """Both directions, the largest value of each unit over time, LayerNorm."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(28, 12, batch_first=True, bidirectional=True)
        self.norm = nn.LayerNorm(24)
        self.fc = nn.Linear(24, 10)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.fc(self.norm(out.max(dim=1).values))


class BiFinal(nn.Module):
    """Two layers in both directions, their two final states side by side."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(28, 12, num_layers=2, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(24, 10)

    def forward(self, x):
        _, h = self.gru(x)
        return self.fc(torch.cat((h[-2, :, :], h[-1, :, :]), dim=1))


class Attention(nn.Module):
    """A weight for each row, and the weighted sum of the states."""

    def __init__(self, hidden=16):
        super().__init__()
        self.lstm = nn.LSTM(28, hidden, batch_first=True, bidirectional=True)
        self.score = nn.Linear(2 * hidden, 1)
        self.fc = nn.Linear(2 * hidden, 10)

    def forward(self, x):
        out, _ = self.lstm(x)
        weights = torch.softmax(self.score(torch.tanh(out)), dim=1)
        return self.fc((weights * out).sum(1))


class TwoLayers(nn.Module):
    """Layers of their own with another size each."""

    def __init__(self):
        super().__init__()
        self.lstm1 = nn.LSTM(28, 20, batch_first=True)
        self.lstm2 = nn.LSTM(20, 16, batch_first=True)
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        x, _ = self.lstm1(x)
        x = F.relu(x)
        _, (h, _) = self.lstm2(x)
        return self.fc(h.squeeze(0))


class Packed(nn.Module):
    """Packed sequences, all of them of full length."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(28, 24, batch_first=True)
        self.fc = nn.Linear(24, 10)

    def forward(self, x):
        lengths = torch.full((x.size(0),), x.size(1), dtype=torch.long)
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
        _, h = self.gru(packed)
        return self.fc(h[-1])


class Cells(nn.Module):
    """A cell in a loop over the rows."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(28, 16)
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        h = x.new_zeros(x.size(0), 16)
        c = x.new_zeros(x.size(0), 16)
        for row in range(x.size(1)):
            h, c = self.cell(x[:, row], (h, c))
        return self.fc(h)


class ConvRows(nn.Module):
    """Convolutions along the rows, then a GRU."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(28, 20, 3, padding=1)
        self.gru = nn.GRU(20, 20, batch_first=True)
        self.fc = nn.Linear(20, 10)

    def forward(self, x):
        x = F.relu(self.conv(x.transpose(1, 2))).transpose(1, 2)
        return self.fc(self.gru(x)[0][:, -1])


class ConvLSTM(nn.Module):
    """A small CNN whose columns an LSTM reads."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.lstm = nn.LSTM(6 * 14, 20, batch_first=True)
        self.fc = nn.Linear(20, 10)

    def forward(self, x):
        x = self.features(x).permute(0, 3, 1, 2).flatten(2)
        return self.fc(self.lstm(x)[0][:, -1])


class Pixels(nn.Module):
    """One pixel at a time, 784 steps."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(1, 8, batch_first=True)
        self.fc = nn.Linear(8 * 28, 10)

    def forward(self, x):
        out, _ = self.gru(x)
        return self.fc(out[:, 27::28].flatten(1))


class OnCuda(nn.Module):
    """Written for one machine: every tensor to CUDA."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(28, 24, batch_first=True)
        self.fc = nn.Linear(24, 10)

    def forward(self, x):
        x = x.cuda()
        h0 = torch.zeros(1, x.size(0), 24, device="cuda")
        out, _ = self.rnn(x, h0.to("cuda:0"))
        return self.fc(out[:, -1].cuda())


class EveryStep(nn.Module):
    """Logits at every row; the loss looked at the last."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(28, 24, batch_first=True)
        self.fc = nn.Linear(24, 10)

    def forward(self, x):
        return self.fc(self.lstm(x)[0])


class Squeezes(nn.Module):
    """A squeeze without an axis at the beginning, and softmax at the end."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(28, 24, batch_first=True)
        self.fc = nn.Linear(24, 10)
        self.softmax = nn.Softmax(dim=1)

    def forward(self, x):
        x = x.squeeze()
        out, _ = self.gru(x)
        print("shape", out.shape)
        return self.softmax(self.fc(out[:, -1]))
