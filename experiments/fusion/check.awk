# rows.csv few.csv many.csv: steps that others measured, and many slow cards against a few fast ones.
FNR == 1 { file++; csv_header($0); next }
{ csv_row($0) }
file == 1 {
    name[++rows] = get("rate") ", " get("latency"); measured[rows] = get("measured")
    predicted[rows] = get("iteration_s")
    speed = get("speed"); fits_all += get("fits") == "true"
    next
}
file == 2 { few = get("tokens_per_s"); few_fits = get("fits"); next }
{
    l = get("peer_order") ", " get("latency_ms") " ms"; rate = get("mbit")
    if (!(l in count)) latencies[++kinds] = l
    mbit[l, ++count[l]] = rate; many[l, count[l]] = get("tokens_per_s"); at[l, rate] = get("tokens_per_s")
    peers[l, rate] = peers_of(get("chain"))
    runs++; fits_many += get("fits") == "true"
}

# The rate at which many are as fast as few, between two rates that were simulated, on a logarithmic scale.
function crossing(l,    i, share) {
    for (i = 1; i <= count[l] && many[l, i] < few; i++) ;
    if (i > count[l]) return 1e9
    if (i == 1) return 0
    share = (few - many[l, i - 1]) / (many[l, i] - many[l, i - 1])
    return exp(log(mbit[l, i - 1]) + share * log(mbit[l, i] / mbit[l, i - 1]))
}

# Peers of a chain such as a*3:2/b:4.
function peers_of(text,    items, n, i, sum, parts) {
    n = split(text, items, "/")
    for (i = 1; i <= n; i++) {
        split(items[i], parts, ":")
        sum += parts[1] ~ /\*/ ? substr(parts[1], index(parts[1], "*") + 1) : 1
    }
    return sum
}

END {
    if (aborted) exit 2
    printf "  GPT-3 XL over eight V100; speed %.3f of the profile, from the first row\n", speed
    printf "  %-20s %10s %10s %8s\n", "link", "measured", "predicted", ""
    for (i = 1; i <= rows; i++) {
        error[i] = predicted[i] / measured[i] - 1
        printf "  %-20s %8.2f s %8.2f s %+7.1f %%\n", name[i], measured[i], predicted[i], 100 * error[i]
    }
    printf "\n  deep-7b, 256 micro-batches of 1024 tokens: 4 H100 %.0f tokens/s; 50 RTX 3080:\n", few
    printf "  %12s", "Mbit/s"
    for (k = 1; k <= kinds; k++) printf " %14s %6s", latencies[k], "peers"
    print ""
    for (i = 1; i <= count[latencies[1]]; i++) {
        rate = mbit[latencies[1], i]
        printf "  %12d", rate
        for (k = 1; k <= kinds; k++)
            if ((latencies[k], rate) in at) printf " %14.0f %6d", at[latencies[k], rate], peers[latencies[k], rate]
            else printf " %14s %6s", "", ""
        print ""
    }
    for (k = 1; k <= 2; k++)
        printf "  %-13s as fast as 4 H100 %s\n", latencies[k],
            crossing(latencies[k]) < 1e9 ? sprintf("from %.1f Gbit/s on", crossing(latencies[k]) / 1e3) : "at no rate"
    print ""
    for (i = 2; i <= rows; i++) within += abs(error[i]) < 0.1
    require(abs(error[1]) < 0.001, "the first row gives the speed")
    require(within == rows - 1, "the other measured steps within 10 %")
    require(fits_all == rows && few_fits == "true" && fits_many == runs, "all fit in the peers' memory")
    for (k = 1; k <= 2; k++) {
        l = latencies[k]; last = count[l]
        for (i = 2; i <= last && many[l, i] >= 0.999 * many[l, i - 1]; i++) ;
        require(i > last, l ": a faster link is never slower")
    }
    slow = latencies[1]; far = latencies[2]; limited = latencies[4]; last = count[slow]
    require(many[slow, 1] < 0.5 * few, "at the lowest rate 50 slow cards have less than half of 4 fast ones")
    require(many[slow, last] > few, "at the highest one and 1 ms they have more")
    require(crossing(far) > crossing(slow), "latency needs faster links")
    require(many[limited, count[limited]] < 0.7 * many[far, last],
        "with 50 ms 1f1b, which limits what is in flight, is slower than gpipe")
    finish()
}
