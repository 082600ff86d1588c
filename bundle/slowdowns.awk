# The slowdown of each policy of one model against native: -v model=NAME -v blocks=COUNT fig7.csv
# Without a native step that fits, native's time is a line through those of two smaller depths.
FNR == 1 && NF { csv_header($0); next }
NF {
    csv_row($0)
    if (index(get("label"), model " ") == 1) time[substr(get("label"), length(model) + 2)] = get("iteration_s")
}
END {
    for (label in time)
        if (split(label, word) == 4 && label ~ /^native of [0-9]+ blocks$/) {
            depth = word[3] + 0
            if (depth > deep) { shallow = deep; deep = depth }
            else if (depth > shallow) shallow = depth
        }
    native = time["native"]
    if (!(native > 0) && shallow > 0) {
        low = time["native of " shallow " blocks"]
        high = time["native of " deep " blocks"]
        native = high + (high - low) / (deep - shallow) * (blocks - deep)
        printf "  native does not fit: extrapolated to %d blocks from %d and %d: %.4f s\n", blocks, shallow, deep,
            native
        how = " (extrapolated)"
    }
    for (label in time)
        if (native > 0 && label !~ /^native/)
            printf "  %-20s %9.4f s  %+6.1f %%%s\n", label, time[label], 100 * (time[label] / native - 1), how
    if (native > 0 && ("lsp d=512" in time))
        printf "%s lsp d=512 within 5 %% of native%s: %+.1f %%\n",
            time["lsp d=512"] <= 1.05 * native ? "goal" : "misses", how, 100 * (time["lsp d=512"] / native - 1)
    if (("zero" in time) && ("lsp d=512" in time))
        printf "%s lsp d=512 faster than zero\n", time["lsp d=512"] < time["zero"] ? "goal" : "misses"
    finish()
}
