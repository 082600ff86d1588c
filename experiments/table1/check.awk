FNR == 1 {
    csv_header($0)
    printf "  %-42s %10s %10s\n", "llama-7b fp16, 8 x 512, paper-workstation", "ours", "paper"
    next
}
{
    csv_row($0)
    name = get("quantity")
    ours[name] = get("ours"); paper[name] = get("paper")
    printf "  %-42s %10.4g %10s %s\n", name, get("ours"), get("paper") == "" ? "-" : get("paper"), get("unit")
}

function near(name, share) {
    require(abs(ours[name] / paper[name] - 1) <= share, sprintf("%s is within %d %% of the paper's", name, 100 * share))
}

END {
    if (aborted) exit 2
    # The profile is fitted to Table 1; its consequences must follow.
    near("FWD of a layer on the GPU", 0.05)
    near("BWD of a layer on the GPU", 0.05)
    near("UPD of a layer on the GPU", 0.05)
    near("UPD of a layer on the CPU", 0.05)
    near("FWD of a layer on the CPU", 0.05)
    near("GPU work per iteration", 0.10)
    near("zero moves", 0.10)
    near("zero's CPU update", 0.10)
    require(ours["share of that which fits"] < 50 && ours["share of it that fits"] < 50,
        "1: less than half of what training keeps fits the GPU")
    require(ours["our swap's overhead at 20 GB/s"] >= 0.5 && ours["our swap's overhead at 10 GB/s"] >= 2.0, \
        "2: offloading memory alone costs at least 0.5x at 20 GB/s and 2x at 10 GB/s, though overlapped")
    require(ours["the same over the GPU iteration"] > 2,
        "3: one layer's FWD and BWD on the CPU take longer than two GPU iterations")
    require(ours["zero's traffic over 20 GB/s"] + ours["zero's CPU update"] > ours["GPU work per iteration"], \
        "4: zero's traffic and CPU update take longer than the GPU's work")
    finish()
}
