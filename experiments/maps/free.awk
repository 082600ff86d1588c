# The largest subspace of each link that costs at most 1 % more than on the fastest link; none: 0.
FNR == 1 { csv_header($0); next }
{
    csv_row($0)
    d = get("subspace"); link = get("link_Bps")
    slowdown[d, link] = get("slowdown")
    if (!(d in known)) { known[d] = 1; sizes[++size_count] = d }
    if (!(link in seen)) { seen[link] = 1; links[++link_count] = link }
}
END {
    if (aborted) exit 2
    print "link_Bps,subspace"
    for (k = 1; k <= link_count; k++) {
        best = 0
        for (i = 1; i <= size_count; i++)
            if (slowdown[sizes[i], links[k]] <= 1.01 * slowdown[sizes[i], links[link_count]]) best = max(best, sizes[i])
        printf "%.9g,%d\n", links[k], best
    }
}
