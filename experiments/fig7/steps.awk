# steps.csv: one row a model, seconds per step of zero, lsp-paper and lsp beside those of the authors.
FNR == 1 { csv_header($0); next }
{
    csv_row($0)
    model = get("model")
    if (!(model in seen)) { seen[model] = 1; models[++count] = model }
    step_s[model, get("policy")] = get("iteration_s")
    authors_s[model, get("policy")] = (get("policy") == "zero" ? get("zero_s") : get("lsp_s"))
}
END {
    if (aborted) exit 2
    print "model,zero,zero_authors,lsp_paper,lsp_authors,lsp"
    for (i = 1; i <= count; i++) {
        m = models[i]
        printf "%s,%.4g,%.4g,%.4g,%.4g,%.4g\n", m, step_s[m, "zero"], authors_s[m, "zero"], step_s[m, "lsp-paper"],
            authors_s[m, "lsp-paper"], step_s[m, "lsp"]
    }
}
