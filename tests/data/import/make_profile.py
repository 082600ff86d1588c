#!/usr/bin/env python3
"""A real profile of PyTorch, of two steps on a CPU, with work of a GPU put where a GPU would have had it.

    make_profile.py pytorch-profile.json.gz        (needs torch; the sample here is of 2.15)

Each matrix product of the CPU is given a launch in the middle of it and a kernel of 30 us: annotations, threads,
autograd's ranges and the nesting of reentrant checkpointing are PyTorch's own.  The checkpointed part has two linear
layers, then one follows: 3 products forward, 2 recomputed, 6 backward (of weights and of inputs).
"""
import gzip
import json
import os
import sys
import tempfile

import torch
from torch.profiler import ProfilerActivity, profile, schedule
from torch.utils.checkpoint import checkpoint


class DeepSpeedCPUAdam(torch.optim.AdamW):
    """PyTorch names an optimizer's step after its class."""


body = torch.nn.Sequential(torch.nn.Linear(256, 512), torch.nn.GELU(), torch.nn.Linear(512, 256))
head = torch.nn.Linear(256, 256)
optimizer = DeepSpeedCPUAdam([*body.parameters(), *head.parameters()], lr=1e-3)
with profile(activities=[ProfilerActivity.CPU], schedule=schedule(wait=1, warmup=3, active=2)) as profiler:
    for _ in range(6):
        inputs = torch.randn(64, 256, requires_grad=True)
        head(checkpoint(body, inputs, use_reentrant=True)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        profiler.step()

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "profile.json")
    profiler.export_chrome_trace(path)
    with open(path) as file:
        trace = json.load(file)
trace.pop("host_name", None)
trace["traceName"] = "profile.json"

free_at, correlation, products = 0, 0, [e for e in trace["traceEvents"] if e["name"] in ("aten::addmm", "aten::mm")]
for product in sorted(products, key=lambda e: e["ts"]):
    correlation += 1
    launched_at = product["ts"] + product["dur"] / 2
    start = max(free_at, launched_at + 4)
    free_at = start + 31
    trace["traceEvents"] += [
        {"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": product["pid"], "tid": product["tid"],
         "ts": launched_at, "dur": 0.1, "args": {"correlation": correlation}},
        {"ph": "X", "cat": "kernel", "name": "gemm", "pid": 0, "tid": 7, "ts": start, "dur": 30,
         "args": {"device": 0, "stream": 7, "correlation": correlation}}]

with open(sys.argv[1], "wb") as file, gzip.GzipFile("", "wb", 9, file, 0) as compressed:
    compressed.write(json.dumps(trace, separators=(",", ":")).encode())
