#!/usr/bin/env bash
# Throughput of the paper's systems, normalised by native training, and the authors' own step times, by simulation.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open fig7
here=$experiments_dir/fig7

# As the authors' code runs them: fp32 both ways, linear layers only.  native trains everything, as in the figure.
published=(--precision fp16 --transfer fp32 --train-rest off)

# point LABEL SUBSPACE POLICY [ARGS...]
point() {
    local label=$1 d=$2 policy=$3
    shift 3
    lspo_row "$out/fig7.csv" label,d "$label,$d" sim --model "$model" --machine "$machine" --policy "$policy" \
        --batch "$batch" --sequence 512 "$@"
}

while read -r model machine batch; do
    point zero "" zero "${published[@]}"
    point zero-layerwise "" zero-layerwise "${published[@]}"
    for policy in lsp lsp-paper; do
        for d in 2048 1024 512 256; do
            point "$policy d=$d" $d $policy --subspace $d --nnz 16 "${published[@]}"
        done
    done
    point native "" native --precision fp16
    # Their updates run on the thread that launches the GPU's work, which then waits.
    for policy in zero zero-layerwise; do
        point "$policy launch waits" "" $policy "${published[@]}" --set contention.gpu_while_cpu=0.99
    done
done < <(grid_rows "$here/grid")

# The authors' step times: para_offload_modules.py as their README calls it.
while read -r model machine batch sequence d r zero_s lsp_s; do
    for policy in zero lsp-paper lsp; do
        measured=$lsp_s
        [ $policy = zero ] && measured=$zero_s
        mapfile -t own < <(own_flags $policy --subspace "$d" --nnz "$r")
        lspo_row "$out/steps.csv" measured_s "$measured" sim --model "$model" --machine "$machine" --policy $policy \
            --batch "$batch" --sequence "$sequence" "${own[@]}" "${published[@]}"
    done
done < <(grid_rows "$here/steps")

awk_csv "$here/table.awk" "$out/fig7.csv" > "$out/table.csv"
awk_csv "$here/steps.awk" "$out/steps.csv" > "$out/step-bars.csv"
# Where among the bars of table.csv each of the paper's means belongs.
echo bar,throughput > "$out/paper.csv"
while read -r policy d slowdown; do
    awk -F, -v label="$policy $d" -v slowdown="$slowdown" \
        'NR == 1 { for (i = 2; i <= NF; i++) if ($i == label) printf "%d,%.4f\n", i - 1, 1 / slowdown }' \
        "$out/table.csv"
done < <(grid_rows "$here/paper") >> "$out/paper.csv"
mapfile -t ticks < <(grid_ticks "$here/grid")
mapfile -t steps < <(grid_ticks "$here/steps" | sed 's/^tick/step/; s/-coder-/-|coder-/')
plot fig7 "$out/fig7" note="512 tokens, fp16, fp32 on the link" "${ticks[@]}" "${steps[@]}"
awk_csv "$here/check.awk" "$out/fig7.csv" "$out/steps.csv"
