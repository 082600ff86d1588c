FNR == 1 { csv_header($0); next }
{
    csv_row($0)
    model = get("model")
    if (!(model in seen)) { seen[model] = 1; models[++count] = model }
    machine[model] = get("machine")
    slowdown[model, get("label")] = get("slowdown")
}
END {
    if (aborted) exit 2
    printf "  throughput over native's\n  %-10s %6s %9s %7s %7s %7s %7s %7s\n", "model", "zero", "layerwise", "d=2048",
        "d=1024", "d=512", "d=256", "native"
    monotone = 1
    for (i = 1; i <= count; i++) {
        m = models[i]
        printf "  %-10s %6.3f %9.3f %7.3f %7.3f %7.3f %7.3f %7.3f\n", m, 1 / slowdown[m, "zero"],
            1 / slowdown[m, "zero-layerwise"], 1 / slowdown[m, "lsp d=2048"], 1 / slowdown[m, "lsp d=1024"],
            1 / slowdown[m, "lsp d=512"], 1 / slowdown[m, "lsp d=256"], 1 / slowdown[m, "native"]
        gain += (slowdown[m, "zero"] / slowdown[m, "zero-layerwise"] - 1) / count
        mean256 += (slowdown[m, "lsp d=256"] - 1) / count
        mean512 += (slowdown[m, "lsp d=512"] - 1) / count
        most = max(most, slowdown[m, "zero"] / slowdown[m, "lsp d=256"])
        require(slowdown[m, "lsp d=512"] < slowdown[m, "zero"], \
            sprintf("%s on %s: lsp at d=512 is faster than zero", m, machine[m]))
        require(slowdown[m, "zero-layerwise"] <= slowdown[m, "zero"] * 1.0001, \
            sprintf("%s: the layer-wise schedule is not slower than zero", m))
        # One per mille: the steady state is read from a few iterations.
        for (d = 256; d < 2048; d *= 2)
            if (slowdown[m, "lsp d=" d] > slowdown[m, "lsp d=" (2 * d)] * 1.001) monotone = 0
        require(abs(slowdown[m, "native"] - 1) < 1e-6, sprintf("%s: native is its own measure", m))
    }
    require(monotone, "throughput of lsp does not grow with d")
    printf "  layer-wise schedule over zero    %+6.1f %%   paper +18 %%\n", 100 * gain
    printf "  mean slowdown of lsp, d=256      %+6.1f %%   paper 10.6 %%\n", 100 * mean256
    printf "  mean slowdown of lsp, d=512      %+6.1f %%   paper 16.7 %%\n", 100 * mean512
    printf "  lsp over zero, at most           %6.2f x   paper (v1) 3.33 x\n", most
    finish()
}
