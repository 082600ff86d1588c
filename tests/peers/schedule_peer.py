"""The best schedule between two passes of a barrier, found by CP-SAT (ortools), beside lspo's bound and its simulation.

schedule_peer.py LSPO: 77 without ortools, 1 if a bound is above a best schedule or a simulation below one.
"""
import json
import os
import subprocess
import sys
import tempfile

try:
    from ortools.sat.python import cp_model
except ImportError:
    sys.exit(77)

MODEL, MACHINE, SECONDS = "gpt-tiny", "host-reference", 20
CELLS = [(policy, link, cpu)
         for policy in ("zero", "zero-layerwise", "backward-update", "lsp", "swap", "stream", "zero-delayed")
         for link, cpu in (("100MB/s", "50M/s"), ("400MB/s", "20M/s"))]


def ask(lspo, *words):
    return json.loads(subprocess.run([lspo, *words, "--format", "json"], check=True, capture_output=True,
                                     text=True).stdout)


def between(ops, first, second):
    """Ids of the ops that depend on `first` and on which `second` depends, and of `second`."""
    after, before = {first}, {second}
    for op in ops[first + 1:second + 1]:
        if after.intersection(op["deps"]):
            after.add(op["id"])
    for op in reversed(ops[first + 1:second + 1]):
        if op["id"] in before:
            before.update(op["deps"])
    return sorted(after.intersection(before) - {first})


def solve(ops, ids):
    """Least time of all `ids`, each lane one at a time: (best found, what no schedule is below)."""
    model = cp_model.CpModel()
    horizon = sum(ops[i]["duration_ns"] for i in ids)
    intervals, lanes = {}, {}
    for i in ids:
        intervals[i] = model.NewFixedSizeIntervalVar(model.NewIntVar(0, horizon, f"start{i}"), ops[i]["duration_ns"],
                                                     f"op{i}")
        lanes.setdefault(ops[i]["lane"], []).append(intervals[i])
    for lane in lanes.values():
        model.AddNoOverlap(lane)
    for i in ids:
        for dep in ops[i]["deps"]:
            if dep in intervals:
                model.Add(intervals[i].StartExpr() >= intervals[dep].EndExpr())
    model.Minimize(intervals[ids[-1]].EndExpr())
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = SECONDS
    solver.parameters.num_search_workers = 2
    if solver.Solve(model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return None
    return round(solver.ObjectiveValue()), round(solver.BestObjectiveBound())


def check(lspo, folder, policy, link, cpu):
    profile = os.path.join(folder, "machine.ini")
    with open(profile, "w", encoding="utf-8") as file:
        subprocess.run([lspo, "show", "machine", MACHINE, "--link", link, "--cpu", cpu], check=True, stdout=file)
    cell = ("--model", MODEL, "--machine", profile, "--policy", policy)
    plan = ask(lspo, "show", "plan", *cell)
    result = ask(lspo, "sim", *cell)
    barrier = plan["barrier"]
    ids = between(plan["ops"], barrier["first"], barrier["second"])
    found = solve(plan["ops"], ids)
    simulated_ns = 1e9 * result["iteration_s"] * barrier["iterations"]
    if found is None:
        print(f"{policy:16} {len(ids):4} ops: no schedule found in {SECONDS} s")
        return True
    best_ns, least_ns = found
    fine = barrier["bound_ns"] <= best_ns and simulated_ns >= least_ns * (1 - 1e-9)
    print(f"{policy:16} {link:>8} {cpu:>6} {len(ids):4} ops  bound {barrier['bound_ns']:>11}  best "
          f"{best_ns:>11}{'' if best_ns == least_ns else ' not proved'}  simulated {simulated_ns:>13.0f} ns  "
          f"{'holds' if fine else 'WRONG'}")
    return fine


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        sys.exit(0 if all([check(sys.argv[1], scratch, *cell) for cell in CELLS]) else 1)
