FNR == 1 {
    csv_header($0)
    printf "  %-10s %-18s %6s %6s %6s %6s %11s %6s\n", "model", "machine", "comm", "cpu", "other", "total", "(fp32 link)", "paper"
    next
}
{
    csv_row($0)
    total[get("model")] = get("total")
    sum = 1 + get("exposed_comm") + get("exposed_cpu") + get("other")
    worst = max(worst, abs(sum / get("total") - 1))
    least = FNR == 2 ? get("exposed_comm") : min(least, get("exposed_comm"))
    printf "  %-10s %-18s %6.2f %6.2f %6.2f %6.2f %11.2f %6.2f\n", get("model"), get("machine"), get("exposed_comm"),
        get("exposed_cpu"), get("other"), get("total"), get("total_fp32"), get("paper_total")
}
END {
    if (aborted) exit 2
    require(total["gpt2-1.3b"] > total["gpt2-774m"], "laptop: the larger model is the slower under zero")
    require(total["llama-7b"] > total["llama-3b"], "workstation: the larger model is the slower under zero")
    require(least > 0.1, "communication that nothing hides costs every model more than 10 % of its GPU time")
    require(worst < 0.02, "the four parts add up to the iteration")
    finish()
}
