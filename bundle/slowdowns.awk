# The slowdown of each policy of one model against native: -v model=NAME fig7.csv
FNR == 1 && NF { csv_header($0); next }
NF {
    csv_row($0)
    if (index(get("label"), model " ") == 1) time[substr(get("label"), length(model) + 2)] = get("iteration_s")
}
END {
    native = time["native"]
    for (label in time)
        if (native > 0) printf "  %-20s %9.4f s  %+6.1f %%\n", label, time[label], 100 * (time[label] / native - 1)
    if (native > 0 && ("lsp d=512" in time))
        printf "%s lsp d=512 within 5 %% of native: %+.1f %%\n",
            time["lsp d=512"] <= 1.05 * native ? "goal" : "misses",
            100 * (time["lsp d=512"] / native - 1)
    if (("zero" in time) && ("lsp d=512" in time))
        printf "%s lsp d=512 faster than zero\n", time["lsp d=512"] < time["zero"] ? "goal" : "misses"
    finish()
}
