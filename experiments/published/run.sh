#!/usr/bin/env bash
# Published GPU steps: predict each one, and draw predicted against measured seconds.
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
results_open published
here=$experiments_dir/published
"$LSPO" validate --published "$here/open.csv" --format json > "$out/published.json" ||
    die "lspo validate --published failed"
"$LSPO" validate --published "$here/open.csv" --format csv > "$out/published.csv" ||
    die "lspo validate --published failed"
rows=$(awk 'END { print NR - 1 }' "$out/published.csv")
plot published "$out/published" note="Predicted against measured: $rows steps that others published"
count() { sed -n "s/^  \"$1\": \([0-9]*\),\$/\1/p" "$out/published.json"; }
awk_csv "$here/check.awk" -v order_pairs="$(count order_pairs)" -v card_pairs="$(count card_pairs)" \
    "$out/published.csv"
