#!/usr/bin/env bash
# Throughput of the paper's systems, normalised by native training, and the authors' own step times, by simulation.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open fig7
here=$experiments_dir/fig7
sweep fig7 "$out/fig7.csv"
# The authors' step times: para_offload_modules.py as their README calls it.
sweep fig7 "$out/steps.csv" steps

awk_csv "$here/table.awk" "$out/fig7.csv" > "$out/table.csv"
awk_csv "$here/steps.awk" "$out/steps.csv" > "$out/step-bars.csv"
# Where among the bars of table.csv each of the paper's means belongs.
echo bar,throughput > "$out/paper.csv"
while read -r policy d slowdown; do
    awk -F, -v label="$policy $d" -v slowdown="$slowdown" \
        'NR == 1 { for (i = 2; i <= NF; i++) if ($i == label) printf "%d,%.4f\n", i - 1, 1 / slowdown }' \
        "$out/table.csv"
done < <(grid_rows "$here/paper") >> "$out/paper.csv"
mapfile -t ticks < <(sweep_ticks "$out/fig7.csv")
mapfile -t steps < <(sweep_ticks "$out/steps.csv" | sed 's/^tick/step/; s/-coder-/-|coder-/')
plot fig7 "$out/fig7" note="512 tokens, fp16, fp32 on the link" "${ticks[@]}" "${steps[@]}"
awk_csv "$here/check.awk" "$out/fig7.csv" "$out/steps.csv"
