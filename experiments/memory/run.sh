#!/usr/bin/env bash
# Peak memory of every policy, predicted and measured.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open memory
here=$experiments_dir/memory
profile_measure

variants="off,1,0 on,2,1"
[ "$EXPERIMENTS" != full ] || variants="off,1,0 off,1,1 off,2,0 off,2,1 on,1,0 on,1,1 on,2,0 on,2,1"
cell=0
while read -r model batch sequence; do
    for policy in $(policies); do
        for variant in $variants; do
            IFS=, read -r checkpointing accumulation clip <<< "$variant"
            cell=$((cell + 1))
            # The fewest that lspo sim accepts: late updates need more steps to reach the steady state.
            case $policy in zenflow) iterations=17 ;; zero-delayed) iterations=10 ;; *) iterations=5 ;; esac
            args=(--model "$model" --batch "$batch" --sequence "$sequence" --iterations $iterations --policy "$policy" \
                --checkpointing "$checkpointing"
                --accumulation "$accumulation" --link 1GB/s --cpu 100M/s --machine "$PROFILE")
            [ "$clip" = 0 ] || args+=(--clip "$clip")
            lspo_row "$out/predicted.csv" cell $cell sim "${args[@]}"
            lspo_row "$out/measured.csv" cell $cell run "${args[@]}" --timing-only 2> /dev/null
            [ ! -t 2 ] || printf '\r  cell %d' $cell >&2
        done
    done
done < <(grid_rows "$here/grid")
[ ! -t 2 ] || printf '\r' >&2

awk_csv "$here/join.awk" "$out/predicted.csv" "$out/measured.csv" > "$out/memory.csv"
awk_csv "$here/check.awk" "$out/memory.csv"
