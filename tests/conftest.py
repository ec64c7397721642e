"""Settings that every test shares."""

import torch

torch.set_num_threads(1)  # one thread rounds the same way on every machine
