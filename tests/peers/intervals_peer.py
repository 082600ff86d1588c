"""Intervals of lspo sql's low95(x) and high95(x) beside scipy's, for samples of 2 to 200 random values.

intervals_peer.py LSPO: 77 without scipy, 1 if an end differs.
"""
import random
import subprocess
import sys

try:
    from scipy import stats
except ImportError:
    sys.exit(77)

draw = random.Random(1)
failures = 0
for count in [2, 3, 4, 5, 10, 30, 200] * 3:
    scale = 10 ** draw.uniform(-6, 6)
    values = [draw.gauss(draw.uniform(-2, 2), 1) * scale for _ in range(count)]
    printed = subprocess.run([sys.argv[1], "sql", "-e", "SELECT low95(x), high95(x) FROM x", "x=/dev/stdin"],
                             input="\n".join(["x", *map(repr, values)]) + "\n", check=True, capture_output=True,
                             text=True).stdout
    theirs = stats.t.interval(0.95, count - 1, loc=sum(values) / count, scale=stats.sem(values))
    for ours, expected in zip(map(float, printed.split()), theirs):
        if abs(ours - expected) > 1e-8 * (theirs[1] - theirs[0] + abs(expected)):
            print(f"{count} values: {ours} instead of {expected}")
            failures += 1
print(f"intervals: {failures} of 42 ends differ")
sys.exit(failures > 0)
