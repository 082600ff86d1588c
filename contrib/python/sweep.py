"""The slowdown against native training over the bandwidth of the link, as CSV.    python3 sweep.py > slowdown.csv

`lspo sweep` does this for 10^6 cells; from Python a loop is enough for a few hundred.
"""

import csv
import sys

import lspo

policies = ["zero", "zero-layerwise", "lsp"]
out = csv.writer(sys.stdout)
out.writerow(["link_GBps", *policies])
for link_GBps in (2, 4, 8, 16, 32, 64):
    out.writerow([link_GBps] + [
        lspo.predict(model="llama-7b", machine="paper-workstation", policy=policy, link=f"{link_GBps}GB/s")["slowdown"]
        for policy in policies])
