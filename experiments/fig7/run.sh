#!/usr/bin/env bash
# Throughput of the paper's systems, normalised by native training, by simulation.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open fig7
here=$experiments_dir/fig7

# point LABEL SUBSPACE POLICY [ARGS...]
point() {
    local label=$1 d=$2 policy=$3
    shift 3
    lspo_row "$out/fig7.csv" label,d "$label,$d" sim --model "$model" --machine "$machine" --policy "$policy" \
        --batch "$batch" --sequence 512 --precision fp16 "$@"
}

while read -r model machine batch; do
    point zero "" zero
    point zero-layerwise "" zero-layerwise
    for d in 2048 1024 512 256; do
        point "lsp d=$d" $d lsp --subspace $d --nnz 16
    done
    point native "" native
done < <(grid_rows "$here/grid")

awk_csv "$here/table.awk" "$out/fig7.csv" > "$out/table.csv"
plot fig7 "$out/fig7"
awk_csv "$here/check.awk" "$out/fig7.csv"
