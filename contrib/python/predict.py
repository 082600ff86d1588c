"""Which policies train MODEL on MACHINE, and how fast?    python3 predict.py llama-7b rtx4090"""

import sys

import lspo

model, machine = sys.argv[1:] if len(sys.argv) == 3 else ("llama-7b", "rtx4090")
for policy in lspo.names("policies"):
    try:
        step = lspo.predict(model=model, machine=machine, policy=policy)
    except lspo.Error as error:
        print(f"{policy:24}  {error}")
        continue
    rate = f"{step['tokens_per_s']:10,.0f} tokens/s" if step["tokens_per_s"] else ""
    print(f"{policy:24}  {step['iteration_s'] * 1e3:9.1f} ms{rate}{'' if step['fits'] else '  does not fit'}")
