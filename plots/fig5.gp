# Lines with shaded spread over seeds: held-out perplexity against measured and against simulated time.
width = 960; height = 440
load plots."/style.gp"
names = "full lsp lsp-random lsp-eigen lora galore lomo badam zenflow"
# `full` is full fine-tuning by zero; the other methods have the names of their policies.
policy_of(k) = word(names, k) eq "full" ? "zero" : word(names, k)
title_of(k) = word(names, k) eq "full" ? "full fine-tuning (zero)" : word(names, k)
set ylabel "held-out perplexity per byte"
set logscale y
set ytics (2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 40, 60, 80, 100, 150, 200)
set autoscale yfix
# Both panels show the same losses: with a margin below the best of them.
stats data."/spread.csv" using (column("low")) nooutput name "L"
set yrange [L_min*0.95:*]
set style fill transparent solid 0.2 noborder
set multiplot layout 1,2 title note
set title "measured on the host, equal time"
set xlabel "time (s)"
set key top right vertical Left reverse
file = data."/spread.csv"
plot for [k=1:9] file using (strcol("method") eq word(names, k) ? column("time_s") : NaN):"low":"high" with filledcurves linecolor rgb colour_of(policy_of(k)) notitle, \
    for [k=1:9] file using (strcol("method") eq word(names, k) ? column("time_s") : NaN):"perplexity" \
    with linespoints pointtype mark_of(policy_of(k)) pointsize 0.7 linewidth 1.6 linecolor rgb colour_of(policy_of(k)) \
    title title_of(k)
set title "the same losses, steps simulated: ".joined_note
set xlabel "time (minutes)"
unset ylabel
unset key
file = data."/joined_spread.csv"
plot for [k=1:9] file using (strcol("method") eq word(names, k) ? column("time_s")/60 : NaN):"low":"high" with filledcurves linecolor rgb colour_of(policy_of(k)) notitle, \
    for [k=1:9] file using (strcol("method") eq word(names, k) ? column("time_s")/60 : NaN):"perplexity" \
    with linespoints pointtype mark_of(policy_of(k)) pointsize 0.7 linewidth 1.6 linecolor rgb colour_of(policy_of(k))
unset multiplot
