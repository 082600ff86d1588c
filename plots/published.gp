# Predicted against measured seconds of published GPU steps, one point each, by framework.
width = 800; height = 520
load plots."/style.gp"
file = data."/published.csv"
frameworks = "graphs compiled eager eager-unfused megatron deepspeed deepspeed-blocking torchao lsp-authors lspo"
array shade[10] = [green, blue, orange, 0xC9A800, sky, red, pink, 0x8B5A2B, black, grey]
array mark[10] = [9, 7, 5, 4, 13, 11, 10, 15, 2, 3]
of(f) = strcol("framework") eq word(frameworks, f)
set logscale xy
set grid xtics ytics
set style fill solid 0.25 noborder
set samples 200
set format "%g"
set title note
set xlabel "measured (s)"
set ylabel "predicted (s)"
stats file using (column("measured_s")) nooutput name "M"
stats file using (column("predicted_s")) nooutput name "P"
array there[10]
do for [f=1:10] {
    stats file using (of(f) ? 1 : 0) nooutput name "N"
    there[f] = N_sum
}
stats file using (index_in(frameworks, strcol("framework")) == 0 ? 1 : 0) nooutput name "O"
low = 0.7*(M_min < P_min ? M_min : P_min); high = 1.4*(M_max > P_max ? M_max : P_max)
set xrange [low:high]; set yrange [low:high]
set rmargin at screen 0.70
set key at screen 0.995, screen 0.9 right top vertical Left reverse samplen 1.5
plot '+' using 1:(0.8*$1):(1.2*$1) with filledcurves linecolor rgb grey title "within 20 %", \
    x with lines linecolor rgb black linewidth 1 title "equal", \
    for [f=1:10] file using (of(f) ? column("measured_s") : NaN):(column("predicted_s")) \
        with points pointtype mark[f] pointsize 0.7 linecolor rgb shade[f] \
        title (there[f] > 0 ? sprintf("%s (%d)", word(frameworks, f), there[f]) : ""), \
    file using (index_in(frameworks, strcol("framework")) == 0 ? column("measured_s") : NaN):(column("predicted_s")) \
        with points pointtype 8 pointsize 0.7 linecolor rgb grey title (O_sum > 0 ? sprintf("other (%d)", O_sum) : "")
