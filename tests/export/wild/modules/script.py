"""A script that downloads, trains and saves as soon as it is imported, as many tutorials do."""

import argparse
import os

import torch
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--epochs", type=int, required=True)
args = parser.parse_args()

sequence_length = 28
input_size = 28
hidden_size = 24
num_layers = 1
num_classes = 10
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
train_set = open(os.path.join("data", "train-images.gz"), "rb")  # noqa: PTH118, PTH123, SIM115 - as people write it


class RNN(nn.Module):
    def __init__(self, input_size, hidden_size, num_layers, num_classes):
        super().__init__()
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.lstm = nn.LSTM(input_size, hidden_size, num_layers, batch_first=True)
        self.fc = nn.Linear(hidden_size, num_classes)

    def forward(self, x):
        x = x.reshape(-1, sequence_length, input_size).to(device)
        h0 = torch.zeros(self.num_layers, x.size(0), self.hidden_size).to(device)
        c0 = torch.zeros(self.num_layers, x.size(0), self.hidden_size).to(device)
        out, _ = self.lstm(x, (h0, c0))
        return self.fc(out[:, -1, :])


model = RNN(input_size, hidden_size, num_layers, num_classes).to(device)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for _ in range(args.epochs):
    for images in train_set:
        loss = model(images).sum()
        loss.backward()
        optimizer.step()
torch.save(model.state_dict(), "model.ckpt")
