"""PyTorch's side of bench/training.ts: answers each line "run N" with the seconds that N steps took, in parts."""

import json
import sys
import time

import torch
from diffusers import UNet2DConditionModel

config_file, batch, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
torch.manual_seed(0)
with open(config_file) as file:
    config = json.load(file)
unet = UNet2DConditionModel.from_config(config).train()
optimizer = torch.optim.AdamW(unet.parameters(), lr=1e-5)
size = config["sample_size"]
noisy = torch.randn(batch, config["in_channels"], size, size)
target = torch.randn(batch, config["out_channels"], size, size)
text = torch.randn(batch, 16, config["cross_attention_dim"])
timestep = torch.arange(batch) * 31 % 1000


def step():
    start = time.perf_counter()
    output = unet(noisy, timestep, text, return_dict=False)[0]
    loss = torch.nn.functional.mse_loss(output, target)
    forward = time.perf_counter()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    backward = time.perf_counter()
    optimizer.step()
    end = time.perf_counter()
    return forward - start, backward - forward, end - backward


print(json.dumps({"version": torch.__version__}), flush=True)
for line in sys.stdin:
    steps = [step() for _ in range(int(line.split()[1]))]
    forward, backward, update = (sum(part) for part in zip(*steps))
    print(json.dumps({"forward": forward, "backward": backward, "update": update}), flush=True)
