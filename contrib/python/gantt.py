"""What the lanes do in one step, as a picture.    python3 gantt.py lsp.png    (needs matplotlib)"""

import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import lspo

step = lspo.predict(model="llama-7b", machine="rtx4090", policy="lsp", ops=True)
ops = [op for op in step["ops"] if op["iteration"] == 3]
lanes = list(dict.fromkeys(op["lane"] for op in ops))
kinds = list(dict.fromkeys(op["kind"] for op in ops))
begin = min(op["start_s"] for op in ops)
figure, axes = plt.subplots(figsize=(12, 1 + 0.5 * len(lanes)))
for number, kind in enumerate(kinds):
    for lane_number, lane in enumerate(lanes):
        bars = [(1e3 * (op["start_s"] - begin), 1e3 * (op["end_s"] - op["start_s"]))
                for op in ops if op["kind"] == kind and op["lane"] == lane]
        # An outline keeps ops that are shorter than a pixel.
        axes.broken_barh(bars, (lane_number - 0.4, 0.8), facecolors=f"C{number}", edgecolors=f"C{number}",
                         linewidth=0.6, label=kind if bars else None)
axes.set_yticks(range(len(lanes)), lanes)
axes.invert_yaxis()
axes.set_xlabel("time (ms)")
axes.set_title(f"{step['model']} on {step['machine']}, {step['policy']}: {1e3 * step['iteration_s']:.0f} ms per step")
axes.legend(ncols=len(kinds), loc="upper center", bbox_to_anchor=(0.5, -0.25))
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "gantt.png", bbox_inches="tight", dpi=120)
