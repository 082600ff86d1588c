# A row per cell: of both settings the predicted step, and the shortest measured one of all rounds.
FNR == 1 { csv_header($0); next }
{
    csv_row($0)
    cell = get("cell"); kind = get("kind")
    if (!(cell in model)) { order[++cells] = cell; model[cell] = get("model") }
    changes[cell] = get("set"); link[cell] = get("link_Bps"); cpu[cell] = get("cpu_pps")
    predicted[cell, kind] = get("predicted_s"); policy[cell, kind] = get("policy")
    key = cell SUBSEP kind
    if (!(key in longest)) measured[key] = longest[key] = get("iteration_s")
    measured[key] = min(measured[key], get("iteration_s"))
    longest[key] = max(longest[key], get("iteration_s"))
}
END {
    if (aborted) exit 2
    print "label,policy,zero_s,tuned_s,zero_measured_s,tuned_measured_s,spread"
    for (i = 1; i <= cells; i++) {
        c = order[i]
        gsub(/model\.|mlp_width=[0-9]*/, "", changes[c])
        sub(/ *$/, "", changes[c])
        gsub(/ /, ", ", changes[c])
        spread = max(longest[c, "zero"] / measured[c, "zero"], longest[c, "tuned"] / measured[c, "tuned"]) - 1
        printf "\"%s %s: %.0f MB/s %.0f M/s\",%s,%s,%s,%s,%s,%.3g\n", model[c], changes[c], link[c] / 1e6, cpu[c] / 1e6,
            policy[c, "tuned"], predicted[c, "zero"], predicted[c, "tuned"], measured[c, "zero"],
            measured[c, "tuned"], spread
    }
}
