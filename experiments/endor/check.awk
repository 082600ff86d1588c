# paper passes.csv links.csv host.csv: ours beside the authors'.
FNR == 1 { file++ }
file == 1 { if ($1 !~ /^#|^pass$/) { names[++count] = $1; published[$1] = $2 } next }
FNR == 1 { csv_header($0); next }
{ csv_row($0) }
file == 2 { time[get("pass")] = get("token_s") }
file == 3 { at[get("link"), get("weight_format")] = get("token_s") }
file == 4 { host[get("kind"), get("weight_format")] = get("token_s") }

END {
    if (aborted) exit 2
    printf "  a pass of OPT-66B, seconds: ours (the authors')\n"
    for (i = 1; i <= count; i++) printf "  %-10s %5.1f (%4.1f)\n", names[i], time[names[i]], published[names[i]]
    printf "  CSR %.1f, fast expansion %.1f; with three layers on their way dense %.1f, bitmap %.1f\n",
        time["csr"], time["fast-expansion"], time["overlapped-dense"], time["overlapped"]
    printf "\n  gain of bitmaps and of CSR, all blocks on the host, by link:\n "
    split("0.1GB/s 1GB/s 10GB/s 100GB/s 1000GB/s", links, " ")
    for (i = 1; i <= 5; i++)
        printf "  %s: %.2f, %.2f", links[i], at[links[i], "dense"] / at[links[i], "bitmap"],
            at[links[i], "dense"] / at[links[i], "csr"]
    printf "\n\n  this machine, ms per token, measured (predicted):"
    printf "  dense %.0f (%.0f)  csr %.0f (%.0f)  bitmap %.0f (%.0f)\n\n", 1e3 * host["measured", "dense"],
        1e3 * host["predicted", "dense"], 1e3 * host["measured", "csr"], 1e3 * host["predicted", "csr"],
        1e3 * host["measured", "bitmap"], 1e3 * host["predicted", "bitmap"]
    for (i = 1; i <= count; i++) {
        error = time[names[i]] / published[names[i]] - 1
        require(abs(error) <= 0.1, sprintf("%s: within 10 %% of the authors': %+.1f %%", names[i], 100 * error))
    }
    require(time["fast-expansion"] <= 31, "with an expansion at 500 GB/s the same placement takes 31 s at most")
    require(time["csr"] >= time["dense"], "half the weights as CSR with 16-bit columns gain nothing")
    gain = at["0.1GB/s", "dense"] / at["0.1GB/s", "bitmap"]
    require(abs(gain / (16 / 9) - 1) < 0.01, sprintf("where the link decides the gain is 16/9: %.3f", gain))
    for (i = 2; i <= 5; i++)
        require(at[links[i], "dense"] / at[links[i], "bitmap"] < gain + 0.001, links[i] ": and nowhere more")
    require(at["1000GB/s", "dense"] < at["1000GB/s", "bitmap"], "where it takes no time there is none")
    gain = host["measured", "dense"] / host["measured", "bitmap"]
    require(gain > 1.4 && gain < 16 / 9 + 0.05, sprintf("this machine: bitmaps are %.2f times as fast as dense", gain))
    finish()
}
