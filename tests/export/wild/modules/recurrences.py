"""Classifiers whose steps no recurrent operator of ONNX takes, or whose forward has branches of its own."""

import torch
import torch.nn.functional as F
from torch import nn


class RunningSums(nn.Module):
    """A gate that does not see the state: every state is a running sum, taken of logarithms."""

    def __init__(self, hidden=24):
        super().__init__()
        self.hidden = hidden
        self.gate, self.candidate = nn.Linear(28, hidden), nn.Linear(28, hidden)
        self.fc = nn.Linear(hidden, 10)

    def forward(self, x):
        gate = self.gate(x)
        keeps = torch.cumsum(-F.softplus(gate), dim=1)
        enters = -F.softplus(-gate) + F.logsigmoid(self.candidate(x))
        states = torch.exp(keeps + torch.logcumsumexp(enters - keeps, dim=1))
        return self.fc(states[:, -1])


class Branches(nn.Module):
    """Asks for one of two branches; pixels that are below zero take the other one."""

    def __init__(self):
        super().__init__()
        self.f1, self.f2 = nn.Linear(784, 16), nn.Linear(16, 10)

    def forward(self, x):
        hidden = self.f1(x.flatten(1))
        return self.f2(torch.cond(x.min() < -0.5, lambda given: -given, F.relu, (hidden,)))


class CompilesItself(torch.jit.ScriptModule):
    """A class of TorchScript."""

    def __init__(self):
        super().__init__()
        self.f1, self.f2 = nn.Linear(784, 16), nn.Linear(16, 10)

    @torch.jit.script_method
    def forward(self, x):
        for layer in (self.f1,):
            x = F.relu(layer(x.flatten(1)))
        return self.f2(x)


class EarlyExit(nn.Module):
    """Answers twice; its author takes the second one."""

    def __init__(self):
        super().__init__()
        self.f1, self.f2 = nn.Linear(784, 16), nn.Linear(16, 10)

    def forward(self, x):
        hidden = F.relu(self.f1(x.flatten(1)))
        return [self.f2(hidden.round(decimals=1)), self.f2(hidden)]
