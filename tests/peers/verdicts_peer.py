"""The verdicts of experiments about means, computed again from the CSV of their folder of results, without lspo.

verdicts_peer.py RESULTS [EXPERIMENTS]: 1 if a verdict or an end of an interval differs, or a claim with an interval is
unknown here; 2 if there is none.  EXPERIMENTS has the recorded runs (default: the folder of this source).
"""
import csv
import math
import re
import statistics
import sys
from pathlib import Path

from student_t import student_t

results = Path(sys.argv[1])
RUNS_LEAST = 3  # of fewer the mean is judged
experiments = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).resolve().parents[2] / "experiments"


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def over(table, ours, theirs, key="held_out_after", **where):
    """How far one method ends above the other, in percent, by seed."""
    of = [{row["seed"]: float(row[key]) for row in table if row["method"] == method and
           all(row[name] == value for name, value in where.items())} for method in (ours, theirs)]
    return [100 * (of[0][seed] / of[1][seed] - 1) for seed in of[0] if seed in of[1]]


def mean_by(table, key, value):
    groups = {}
    for row in table:
        groups.setdefault(row[key], []).append(float(value(row)))
    return {name: statistics.mean(values) for name, values in groups.items()}


def least_of(samples, limit):
    """The sample of the least mean, and the limit; nothing is open where one of them is below it for certain."""
    certain = any(statistics.mean(x) < limit and (len(x) < RUNS_LEAST or interval(x)[1] < limit) for x in samples)
    return min(samples, key=statistics.mean), limit, not certain


def fig5(text):
    runs, record = rows(results / "fig5/runs.csv"), rows(experiments / "fig5/recorded.csv")
    if "step of lsp takes less" in text:
        return over(runs, "lsp", "full", "step_s"), 0
    if text.startswith("recorded"):
        for words, theirs in [("with plain Adam", "lsp-random"), ("than zero", "full"), ("full SOAP", "soap"),
                              ("only embeddings", "rest"), ("lora in the", "lora-eigen"),
                              ("galore in the", "galore-eigen"), ("lora", "lora"), ("galore", "galore")]:
            if words in text:
                return over(record, "lsp-eigen", theirs), 0
    ours = "lsp-eigen" if "in the eigenbasis, random" in text else "lsp"
    for words, theirs in [("same time", "full"), ("as many steps", "full-steps"), ("random ones", "lsp-random"),
                          ("below lora", "lora"), ("below galore", "galore")]:
        if words in text:
            return over(runs, ours, theirs), 2 if theirs == "full-steps" else 0
    return None


def table3(text):
    glue = rows(experiments / "table3/recorded.csv" if text.startswith("recorded") else results / "table3/glue.csv")
    if "its loss is" in text:
        runs = [row for row in rows(results / "fig5/runs.csv") if row["method"] != "full-steps"]
        means = mean_by(runs, "method", lambda row: row["held_out_after"])
        return over(runs, "lsp", min((name for name in means if name != "lsp"), key=means.get)), 0
    if "SST-2" in text:
        means = mean_by([row for row in glue if row["task"] == "sst2"], "method", lambda row: row["accuracy"])
        return least_of([[100 * float(row["accuracy"]) for row in glue
                          if row["task"] == "sst2" and row["method"] == method] for method in means], 60)
    measure = {"sst2": "accuracy", "mrpc": "f1", "stsb": "pearson"}
    sums = {}
    for row in glue:
        key = row["method"], row["seed"]
        sums[key] = sums.get(key, 0) + 100 * float(row[measure[row["task"]]] or 0) / 3
    means = mean_by([{"method": method, "x": x} for (method, _), x in sums.items()], "method", lambda row: row["x"])
    best = max((name for name in means if name != "lsp"), key=means.get)
    return [sums["lsp", seed] - sums[best, seed] for method, seed in sums if method == "lsp"], 0


def table4(text):
    code = rows(results / "table4/code.csv")
    for words, theirs in [("full fine-tuning", "full"), ("below lora", "lora"), ("below galore", "galore")]:
        if words in text:
            return over(code, "lsp", theirs), 0
    fall = [{"method": row["method"], "x": 100 * (1 - float(row["held_out_after"]) / float(row["held_out_before"]))}
            for row in code]
    means = mean_by(fall, "method", lambda row: row["x"])
    return least_of([[row["x"] for row in fall if row["method"] == method] for method in means], 30)


def chosen(table):
    """Of each base and method the rows at the rate that was best at 90 steps with seed 1."""
    best = {}
    for row in table:
        key, loss = (row["base"], row["method"]), float(row["held_out_after"])
        if row["steps"] == "90" and row["seed"] == "1" and loss < best.get(key, (math.inf, ""))[0]:
            best[key] = loss, row["learning_rate"]
    return [row for row in table if best.get((row["base"], row["method"]), (0, ""))[1] == row["learning_rate"]]


def adam_basis(text):
    claims = [("below lora in eigen", "lsp", "lora", 0), ("below galore in eigen", "lsp", "galore", 0),
              ("below lora", "lsp", "lora-plain", 0), ("below galore", "lsp", "galore-plain", 0),
              ("at or below full Adam", "lsp", "full", 0), ("full SOAP", "lsp", "soap", 2),
              ("random ones", "lsp-learned", "lsp", 1)]
    if text.startswith("here, too"):
        here = chosen(rows(next((results / "adam-basis").glob("losses-*.csv"))))
        for words, ours, theirs in [("learned", "lsp-learned", "lsp-learned-plain"), ("full", "lsp", "full"),
                                    ("SOAP", "soap", "full"), ("rest", "lsp", "rest"), ("lsp", "lsp", "lsp-plain")]:
            if words in text:
                return over(here, ours, theirs, base="tiny-250", steps="90"), 0
    for words, ours, theirs, limit in claims:
        if words in text:
            break
    record = chosen(rows(experiments / "adam-basis/recorded.csv"))
    cells = [over(record, ours, theirs, base=base, steps=steps)
             for base, steps in {(row["base"], row["steps"]) for row in record}]
    sample, _, is_open = least_of([[-x for x in cell] for cell in cells if len(cell) > 1], -limit)
    return [-x for x in sample], limit, is_open


def sim_vs_host(text):
    def error(row, predicted):
        return 100 * abs(float(row[predicted]) / float(row["measured_s"]) - 1)

    if "better with it" in text:
        part = text.split(":")[0]
        return [error(row, "predicted_s") - error(row, "no_" + part)
                for row in rows(results / "sim-vs-host/parts/cells.csv")
                if row["group_name"] == part and row["measured_s"]], 0, False
    gate = re.match(r"the time of (\S+) is predicted within (\S+) %", text)
    folder = results / "sim-vs-host" / (gate[1] if gate else "")
    return [error(row, "predicted_s") for row in rows(folder / "cells.csv") if row["disturbed"] == "false"], \
        float(gate[2]) if gate else None, False


def others(figure, text):
    if figure == "memory":
        return [100 * abs(float(row["peak_total_error"])) for row in rows(results / "memory/memory.csv")], 1, False
    if figure == "published":
        errors = rows(results / "published/published.csv")
        if "sources" in text:
            means = mean_by(errors, "source", lambda row: 100 * abs(float(row["error"])))
            return list(means.values()), 17, False
        if "bias" in text:
            return [100 * float(row["error"]) for row in errors], 5, False
        return [100 * abs(float(row["error"])) for row in errors], 15, False
    if figure == "tune":
        rounds, shortest = {}, {}
        for row in rows(results / "tune/tune.csv"):
            seconds, cell = float(row["iteration_s"]), (row["model"], row["changes"], row["link_Bps"], row["cpu_pps"])
            rounds.setdefault((cell, row["round"]), {})[row["kind"]] = seconds
            shortest.setdefault(cell, {}).setdefault(row["kind"], []).append(seconds)
        ratios = {key: times["zero"] / times["tuned"] for key, times in rounds.items()}
        if "least" in text:
            speedups = {cell: min(x["zero"]) / min(x["tuned"]) for cell, x in shortest.items()}
            by_round = {one: [x for (cell, _), x in ratios.items() if cell == one] for one in speedups}
            certain = any(speedups[one] < 0.95 and (len(x) < RUNS_LEAST or interval(x)[1] < 0.95)
                          for one, x in by_round.items())
            return by_round[min(speedups, key=speedups.get)], 0.95, not certain, min(speedups.values())
        return [100 * (statistics.median(x for (_, number), x in ratios.items() if number == one) - 1)
                for one in {number for _, number in ratios}], 5
    return sim_vs_host(text) if figure == "sim-vs-host" else None


def interval(sample):
    mean, half = statistics.mean(sample), student_t(len(sample) - 1) * statistics.stdev(sample) / len(sample) ** 0.5
    return mean - half, mean + half


ends_printed = r"95 %: (\S+)(?: %)? to (\S+)(?: %)?"
claims = re.compile(rf"^  (holds|FAILS|yes  |no   |undecided) (\S.*) \[(?:{ends_printed}|one run)\]$", re.MULTILINE)
count = undecided = wrong = 0
for output in sorted(results.glob("*/output.txt")):
    figure = output.parent.name
    known = {"fig5": fig5, "table3": table3, "table4": table4, "adam-basis": adam_basis}
    for word, text, *printed in claims.findall(output.read_text()):
        found = known[figure](text) if figure in known else others(figure, text)
        count += 1
        if found is None:
            print(f"{figure}: '{text}' is not known here")
            wrong += 1
            continue
        # May the limit leave the claim open?  Not over cells, which are no repeated runs.  What is judged, if no mean?
        sample, limit, is_open, judged = (*found, *(True, None)[len(found) - 2:])
        ends = interval(sample) if len(sample) > 1 else None
        unit = max(0.1 if "." in printed[0] else 1, (ends[1] - ends[0]) * 0.06) if ends and printed[0] else 0
        if (ends is None) != (printed[0] == "") or \
                ends and any(abs(float(a) - b) > unit for a, b in zip(printed, ends)):
            print(f"{figure}: '{text}': printed {printed}, computed {ends}")
            wrong += 1
        inside = is_open and len(sample) >= RUNS_LEAST and limit is not None and ends[0] <= limit <= ends[1]
        close = ends is not None and limit is not None and min(abs(end - limit) for end in ends) <= 1e-9
        if inside != (word == "undecided") and not close:
            print(f"{figure}: '{text}' is '{word.strip()}', but the limit is {limit} and the interval {ends}")
            wrong += 1
        # Is the mean on the right side of its limit?  (Where it is held to one.)
        mean = statistics.mean(sample) if judged is None else judged
        upwards = "at this scale, it is" in text or figure in ("tune",) or "every method" in text
        good = mean >= limit if upwards else abs(mean) <= limit if "bias at" in text else mean <= limit \
            if limit is not None else None
        if limit is not None and word != "undecided" and good != (word.strip() in ("holds", "yes")):
            print(f"{figure}: '{text}' is '{word.strip()}', but the mean is {mean} and the limit {limit}")
            wrong += 1
        undecided += word == "undecided"
print(f"verdicts: {count} claims about means, {undecided} undecided, {wrong} differences")
sys.exit(2 if count == 0 else wrong > 0)
