# One row per assumption, one column per model: time per iteration over GPU time.
FNR == 1 { csv_header($0); next }
{
    csv_row($0)
    model = get("model"); name = get("assumption")
    if (!(model in seen)) { seen[model] = 1; models[++model_count] = model }
    if (!(name in known)) { known[name] = 1; names[++name_count] = name }
    total[name, model] = sprintf("%.2f", get("iteration_s") / get("gpu_busy_s"))
}
END {
    if (aborted) exit 2
    printf "assumption"
    for (i = 1; i <= model_count; i++) printf ",%s", models[i]
    printf "\n"
    for (j = 1; j <= name_count; j++) {
        printf "\"%s\"", names[j]
        for (i = 1; i <= model_count; i++) printf ",%s", total[names[j], models[i]]
        printf "\n"
    }
}
