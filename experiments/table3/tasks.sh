# tasks.sh - small tasks in the form of GLUE's files, from lines of a text of C: table3/run.sh sources it.

# write_tasks TEXT FOLDER: sst2.tsv: does the line have the word int?  mrpc.tsv: are both lines directives, or both
# statements?  stsb.tsv: how many fifths of the first text are in the second?  halves.tsv, to pretrain on: is the line
# in the second half of the text?
write_tasks() {
    local folder=$2 line first=1 half
    grep -Ex '[[:graph:]][[:print:]]{14,39}' "$1" > "$folder/lines"
    half=$(($(wc -l < "$folder/lines") / 2))
    {
        printf 'sentence\tlabel\n'
        head -n $half "$folder/lines" | shuffled 600 | sed 's/$/\t0/'
        tail -n $half "$folder/lines" | shuffled 600 | sed 's/$/\t1/'
    } > "$folder/halves.tsv"
    {
        printf 'sentence\tlabel\n'
        grep -w int "$folder/lines" | shuffled 300 | sed 's/$/\t1/'
        grep -vw int "$folder/lines" | shuffled 300 | sed 's/$/\t0/'
    } > "$folder/sst2.tsv"
    grep '^#' "$folder/lines" | shuffled 600 > "$folder/directives"
    grep ';$' "$folder/lines" | shuffled 600 > "$folder/statements"
    {
        printf 'Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n'
        pairs 1 directives directives 1 151
        pairs 1 statements statements 1 151
        pairs 0 directives statements 301 301
        pairs 0 statements directives 451 451
    } > "$folder/mrpc.tsv"
    {
        printf 'index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n'
        shuffled 600 < "$folder/lines" | while IFS= read -r line; do
            first=$(((first + 1) % 6))
            printf '0\th\th\t0\t0\th\th\t%s\t%s\t%d\n' "$line" "${line:0:$((${#line} * first / 5))}" $first
        done
    } > "$folder/stsb.tsv"
}

# So many lines, drawn by a fixed seed.
shuffled() {
    shuf -n "$1" --random-source=<(yes table3)
}

# pairs QUALITY FILE FILE FROM FROM: 150 pairs of lines.
pairs() {
    paste <(tail -n +"$4" "$folder/$2" | head -n 150) <(tail -n +"$5" "$folder/$3" | head -n 150) |
        sed "s/^/$1\t0\t0\t/"
}
