"""All claims of a folder of results, judged again from its CSV as judged.txt of each figure says: each file of claims
by Python's sqlite3, with a reader of tables and statements, functions and a judge of its own.  Numbers that were
handed to claims with --given, as the verdict of `lspo validate`, are taken from there.  verdicts_peer.py computes those
about means without SQL.

claims_peer.py RESULTS [EXPERIMENTS]: 1 if a line of a claim is another one than was printed; 2 if there is none.
EXPERIMENTS has the claims and the recorded runs (default: the folder of this source).
"""
import csv
import math
import re
import sqlite3
import statistics
import sys
from pathlib import Path

from student_t import student_t

results = Path(sys.argv[1])
experiments = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).resolve().parents[2] / "experiments"
RUNS_LEAST = 3  # of fewer the mean is judged


# ---- tables ----

def cell(text):
    if re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", text, re.IGNORECASE) or text.lower() in ("inf", "-inf"):
        return float(text)
    return None if text.lower() in ("", "nan", "-nan") else text


def load(database, name, path):
    with open(path, newline="") as file:
        head, *rows = csv.reader(file)
    columns = ", ".join('"' + column.replace('"', '""') + '"' for column in head)
    database.execute(f'CREATE TABLE IF NOT EXISTS "{name}" ({columns})')
    database.executemany(f'INSERT INTO "{name}" VALUES ({", ".join("?" * len(head))})',
                         [[cell(text) for text in row] for row in rows])


# ---- functions ----

def aggregate(result, arguments=1):
    class Values:
        def __init__(self):
            self.rows = []

        def step(self, *row):
            self.rows.append(row if arguments > 1 else row[0])

        def finalize(self):
            return result(self.rows)
    return Values


def quantile(values, q):
    ranked = sorted(x for x in values if x is not None)
    if not ranked:
        return None
    below = min(int(q * (len(ranked) - 1)), len(ranked) - 1)
    above = min(below + 1, len(ranked) - 1)
    return ranked[below] + (q * (len(ranked) - 1) - below) * (ranked[above] - ranked[below])


def end(side):
    def of(values):
        known = [x for x in values if x is not None]
        if len(known) < 2:
            return None
        half = student_t(len(known) - 1) * statistics.stdev(known) / math.sqrt(len(known))
        return statistics.mean(known) + side * half
    return of


def pick(rows):
    picked = [x for x, condition in rows if condition]
    assert len(picked) <= 1, "pick() of two rows"
    return picked[0] if picked else None


def is_undecided(low, high, runs, limit):
    return None not in (low, high, limit) and low < high and low <= limit <= high and (runs is None or
                                                                                     runs >= RUNS_LEAST)


def connect(given):
    database = sqlite3.connect(":memory:")
    for name, result, arguments in [
            ("median", lambda values: quantile(values, 0.5), 1), ("low95", end(-1), 1), ("high95", end(1), 1),
            ("pick", pick, 2), ("every", lambda values: float(all(values)) if values else None, 1)]:
        database.create_aggregate(name, arguments, aggregate(result, arguments))
    database.create_function("undecided", 4, lambda *numbers: float(is_undecided(*numbers)))
    database.create_function("given", 1, lambda name: given[name])
    return database


# ---- statements and claims ----

def statements(text):
    """Without comments and line ends before them."""
    so_far = ""
    for line in re.sub(r"^--.*$", "", text, flags=re.MULTILINE).splitlines(keepends=True):
        so_far += line
        if sqlite3.complete_statement(so_far):
            yield so_far.strip()
            so_far = ""
    assert not so_far.strip(), so_far


def shown(value, low, high):
    """To two digits of half the width."""
    digit = 10.0 ** (math.floor(math.log10((high - low) / 2)) - 1) if high > low else 0
    return f"{round(value / digit) * digit + 0.0:.12g}" if digit > 0 else f"{value:.12g}"


def judge(verb, row):
    verdict, sentence, low, high, runs, limit, unit = (*row, *[None] * (7 - len(row)))
    word = {"REQUIRE": ("FAILS", "holds"), "OBSERVE": ("no", "yes")}[verb][bool(verdict)]
    if verdict is not None and is_undecided(low, high, runs, limit):
        word = "undecided"
    behind = ""
    if low is not None:
        ends = (shown(x, low, high) + (f" {unit}" if unit else "") for x in (low, high))
        behind = " [95 %: " + " to ".join(ends) + "]"
    elif runs is not None:
        behind = " [one run]" if runs == 1 else " [no run]"
    return f"  {word:<5} {sentence}{behind}"


def run(script, folder, tables, given):
    database, lines = connect(given), []
    for path in sorted(folder.glob("*.csv")):
        load(database, path.stem, path)
    for name, path in tables.items():
        database.execute(f'DROP TABLE IF EXISTS "{name}"')
        load(database, name, path)
    for statement in statements(script.read_text()):
        verb, rest = statement.split(maxsplit=1)
        if verb == "WRITE":
            name, rest = re.match(r"(\S+)\s+AS\s+(.*)", rest, re.DOTALL).groups()
            database.execute(f'DROP TABLE IF EXISTS "{name}"')
            database.execute(f'CREATE TABLE "{name}" AS {rest}')
        elif verb in ("REQUIRE", "OBSERVE"):
            rows = database.execute(rest).fetchall()
            lines += [judge(verb, row) for row in rows]
            if not rows and verb == "REQUIRE":
                lines.append("  FAILS without rows")
        else:
            database.execute(statement).fetchall()
    return lines


# ---- what each experiment handed to its claims ----

def judged_again(record):
    """The claims of all lines of judged.txt: a file of claims, a folder of CSV, sources, and --given NAME=VALUE."""
    def place(text):
        root, _, rest = text.partition("/")
        return {"experiments": experiments, "results": results}[root] / rest

    lines = []
    for line in record.read_text().splitlines():
        script, folder, *words = line.split("\t")
        tables, given = {}, {}
        while words:
            word = words.pop(0)
            if word == "--given":
                name, value = words.pop(0).split("=", 1)
                given[name] = cell(value)
                continue
            name, path = re.fullmatch(r"(?:(\w+)=)?(.*)", word).groups()
            path = place(path)
            files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
            tables.update({name or file.stem: file for file in files})
        lines += run(place(script), place(folder), tables, given)
    return lines


def alike(printed, computed):
    """Ends of intervals are sums in another order: one of their last digits may differ."""
    ends = r"\[95 %: (\S+?)( \S+)? to (\S+?)( \S+)?\]$"
    if re.sub(ends, "", printed) != re.sub(ends, "", computed):
        return False
    a, b = re.search(ends, printed), re.search(ends, computed)
    if a is None or b is None:
        return a is b
    width = abs(float(a[3]) - float(a[1]))
    return a[2] == b[2] and a[4] == b[4] and all(abs(float(a[i]) - float(b[i])) <= 0.06 * width for i in (1, 3))


count = wrong = 0
for output in sorted(results.glob("*/output.txt")):
    figure = output.parent.name
    # Without the limits of `lspo validate` itself, whose status is one of the claims.
    limits = {line for report in output.parent.glob("**/report.txt") for line in report.read_text().splitlines()}
    printed = [line for line in re.findall(r"^  (?:holds|FAILS|yes  |no   |undecided) \S.*$", output.read_text(),
                                           re.MULTILINE) if line not in limits]
    record = output.with_name("judged.txt")
    computed = judged_again(record) if record.exists() else []
    count += len(printed)
    for ours, theirs in zip(computed + ["none"] * len(printed), printed + ["none"] * (len(computed) - len(printed))):
        if not alike(theirs, ours):
            print(f"{figure}: printed  {theirs}\n{figure}: computed {ours}")
            wrong += 1
print(f"claims: {count}, {wrong} differences")
sys.exit(2 if count == 0 else wrong > 0)
