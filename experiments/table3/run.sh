#!/usr/bin/env bash
# Quality after equal time: one row per method, from the trainings of Figure 5; and small tasks in GLUE's form on a
# small RoBERTa.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
here=$experiments_dir/table3
. "$here/tasks.sh"
runs=$RESULTS/fig5/runs.csv
[ -s "$runs" ] || die "there is no $runs: run fig5 first"
pretrain_model
results_open table3

seeds=1 steps=80
[ "$EXPERIMENTS" = full ] && seeds="1 2 3"
large=(--model roberta-base --machine paper-laptop --batch 16 --sequence 128)
workload=(--batch 16 --sequence 96)
write_tasks "$corpus" "$out"
# A RoBERTa whose blocks know this kind of text; lspo does not train its language head.
"$LSPO" train --model "$here/roberta.ini" --policy native --data "$out/halves.tsv" "${workload[@]}" --steps 100 \
    --learning-rate 1e-3 --eval-batches 16 --export "$out/roberta" --format csv > "$out/pretraining.csv" ||
    die "pretraining failed"
for task in sst2 mrpc stsb; do
    classes=2
    [ $task != stsb ] || classes=1
    train_equally "$out/glue.csv" $task $steps "$here/methods" "$out/roberta" --classes $classes \
        --data "$out/$task.tsv" --held-out 0.25 --eval-batches 10 "${workload[@]}"
done
beside_all
rm -r "$out"/*.tsv "$out/lines" "$out/directives" "$out/statements" "$out/roberta" "$out/pretraining.csv"
judge table3 "$runs" "$here/paper.csv" of_record="$here/recorded.csv"
