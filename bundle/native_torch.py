"""The native training step of one of lspo's models by PyTorch, on the GPU: what lspo's own is held against.

The same shapes, causal attention (scaled_dot_product_attention), recomputation of each block in the backward pass,
weights in 16 bits with an fp32 master, Adam's moments in fp32 (fused AdamW), learning rate 1e-4.  As lspo's plan does,
each block is updated as soon as its gradients are there, and they are dropped: gradients of one block at a time are in
memory.  For that, `compiled` compiles block by block.  Appends one row to --out.
"""

import argparse
import csv
import os
import statistics
import time

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint


class GptBlock(nn.Module):
    def __init__(self, shape):
        super().__init__()
        width, self.heads = shape["width"], shape["heads"]
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.attention_out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp_up, self.mlp_down = nn.Linear(width, shape["mlp_width"]), nn.Linear(shape["mlp_width"], width)

    def forward(self, x, _):
        batch, sequence, width = x.shape
        q, k, v = (
            part.view(batch, sequence, self.heads, -1).transpose(1, 2)
            for part in self.qkv(self.norm1(x)).split(width, dim=2)
        )
        attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attention_out(attended.transpose(1, 2).reshape(batch, sequence, width))
        return x + self.mlp_down(functional.gelu(self.mlp_up(self.norm2(x)), approximate="tanh"))


class RmsNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x):
        wide = x.float()
        return (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-5)).to(x.dtype) * self.gain


def rotate(x, table):
    half = x.shape[-1] // 2
    cosine, sine = table
    return x * cosine + torch.cat((-x[..., half:], x[..., :half]), dim=-1) * sine


class LlamaBlock(nn.Module):
    def __init__(self, shape):
        super().__init__()
        width, inner = shape["width"], shape["mlp_width"]
        self.heads, self.kv_heads = shape["heads"], shape["kv_heads"]
        kv_width = width // self.heads * self.kv_heads
        self.norm1, self.norm2 = RmsNorm(width), RmsNorm(width)
        self.q, self.k = nn.Linear(width, width, bias=False), nn.Linear(width, kv_width, bias=False)
        self.v, self.attention_out = nn.Linear(width, kv_width, bias=False), nn.Linear(width, width, bias=False)
        self.gate, self.up = nn.Linear(width, inner, bias=False), nn.Linear(width, inner, bias=False)
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x, table):
        batch, sequence, width = x.shape
        h = self.norm1(x)
        q = rotate(self.q(h).view(batch, sequence, self.heads, -1).transpose(1, 2), table)
        k = rotate(self.k(h).view(batch, sequence, self.kv_heads, -1).transpose(1, 2), table)
        v = self.v(h).view(batch, sequence, self.kv_heads, -1).transpose(1, 2)
        if self.kv_heads != self.heads:
            k, v = (part.repeat_interleave(self.heads // self.kv_heads, dim=1) for part in (k, v))
        attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attention_out(attended.transpose(1, 2).reshape(batch, sequence, width))
        h = self.norm2(x)
        return x + self.down(functional.silu(self.gate(h)) * self.up(h))


class Model(nn.Module):
    def __init__(self, shape, sequence):
        super().__init__()
        width, llama = shape["width"], shape["family"] == "llama"
        self.token = nn.Embedding(shape["vocabulary"], width)
        self.position = None if llama else nn.Embedding(shape["max_sequence"], width)
        block = LlamaBlock if llama else GptBlock
        self.blocks = nn.ModuleList(block(shape) for _ in range(shape["blocks"]))
        self.norm = RmsNorm(width) if llama else nn.LayerNorm(width)
        self.head = nn.Linear(width, shape["vocabulary"], bias=False)
        if shape["tied_head"]:
            self.head.weight = self.token.weight
        self.sequence, self.head_width = sequence, width // shape["heads"]
        self.rotary = llama

    def table(self, like):
        if not self.rotary:
            return None
        steps = torch.arange(0, self.head_width, 2, device=like.device, dtype=torch.float32) / self.head_width
        angles = torch.outer(torch.arange(self.sequence, device=like.device, dtype=torch.float32), 10000.0**-steps)
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos().to(like.dtype), angles.sin().to(like.dtype)

    def forward(self, ids, targets):
        x = self.token(ids)
        if self.position is not None:
            x = x + self.position.weight[: self.sequence]
        table = self.table(x)
        for block in self.blocks:
            x = checkpoint(block, x, table, use_reentrant=False)
        logits = self.head(self.norm(x))
        return functional.cross_entropy(logits.view(-1, logits.shape[-1]).float(), targets.view(-1))


def read_shape(path, name):
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            if row["name"] == name:
                numbers = ("blocks", "width", "heads", "kv_heads", "mlp_width", "vocabulary", "max_sequence")
                shape = {key: int(row[key]) for key in numbers}
                return shape | {"family": row["family"], "tied_head": row["tied_head"] == "true"}
    raise SystemExit(f"native_torch.py: {path} has no model '{name}'")


class Part:
    """Parameters that are updated together, in the backward pass, when the gradient of the last of them is there."""

    def __init__(self, parameters, fused):
        self.parameters = parameters
        self.masters = [parameter.detach().float() for parameter in parameters]
        self.optimizer = torch.optim.AdamW(self.masters, lr=1e-4, weight_decay=0.0, fused=fused)
        self.missing = len(parameters)
        for parameter in parameters:
            parameter.register_post_accumulate_grad_hook(self.arrived)

    def arrived(self, _):
        self.missing -= 1
        if self.missing > 0:
            return
        self.missing = len(self.parameters)
        for master, parameter in zip(self.masters, self.parameters):
            master.grad = parameter.grad.float()
            parameter.grad = None
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            torch._foreach_copy_(self.parameters, self.masters)


def make_parts(model, fused=True):
    """Each block, what is before the blocks, and what is behind, which is one part if the embedding is tied."""
    groups = [[block] for block in model.blocks]
    before, behind = [model.token, model.position], [model.norm, model.head]
    groups += [before + behind] if model.head.weight is model.token.weight else [before, behind]
    parts = []
    for group in groups:
        parameters = {id(p): p for module in group if module is not None for p in module.parameters()}
        parts.append(Part(list(parameters.values()), fused))
    return parts


def measure(arguments):
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}[arguments.precision]
    torch.manual_seed(1)
    shape = read_shape(arguments.models, arguments.model)
    with torch.device("cuda"):
        torch.set_default_dtype(dtype)
        model = Model(shape, arguments.sequence)
        size = (arguments.batch, arguments.sequence)
        ids, targets = (torch.randint(0, 256, size) for _ in range(2))
    parts = make_parts(model)
    if arguments.mode == "compiled":
        for block in model.blocks:
            block.compile()
    times = []
    for i in range(arguments.warmup + arguments.steps):
        torch.cuda.synchronize()
        start = time.perf_counter()
        model(ids, targets).backward()
        torch.cuda.synchronize()
        if i >= arguments.warmup:
            times.append(time.perf_counter() - start)
    assert all(part.missing == len(part.parameters) for part in parts)
    return sorted(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", required=True, help="what `lspo list models --format csv` prints")
    parser.add_argument("--model", required=True)
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--sequence", type=int, default=512)
    parser.add_argument("--precision", choices=("bf16", "fp16"), default="bf16")
    parser.add_argument("--mode", choices=("eager", "compiled"), default="eager")
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--out", required=True)
    arguments = parser.parse_args()
    columns = ("model", "mode", "batch", "sequence", "precision", "iteration_s", "low_s", "high_s", "steps",
               "peak_bytes", "torch")
    row = [arguments.model, arguments.mode, arguments.batch, arguments.sequence, arguments.precision]
    try:
        times = measure(arguments)
        row += [statistics.median(times), times[0], times[-1], len(times), torch.cuda.max_memory_allocated()]
    except torch.cuda.OutOfMemoryError:
        print(f"{arguments.model}: PyTorch's native step does not fit this GPU")
        row += ["", "", "", 0, ""]
    row.append(torch.__version__)
    fresh = not os.path.exists(arguments.out)
    with open(arguments.out, "a", newline="") as file:
        writer = csv.writer(file)
        if fresh:
            writer.writerow(columns)
        writer.writerow(row)
    print(dict(zip(columns, row)))


if __name__ == "__main__":
    main()
