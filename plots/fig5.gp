# Lines with shaded spread over seeds: held-out perplexity against measured and against simulated time.
width = 900; height = 400
load plots."/style.gp"
names = "full lsp lsp-random lora galore lomo badam zenflow"
array shade[8] = [orange, blue, sky, green, red, grey, pink, yellow]
set ylabel "held-out perplexity (a byte)"
set logscale y
set ytics (2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 40, 60, 80, 100, 150, 200)
set autoscale yfix
# Both panels show the same losses: a little air below the best of them.
stats data."/spread.csv" using (column("low")) nooutput name "L"
set yrange [L_min*0.95:*]
set style fill transparent solid 0.2 noborder
set multiplot layout 1,2
set title "measured on the host, equal time"
set xlabel "time (s)"
set key top right vertical Left reverse
file = data."/spread.csv"
plot for [k=1:8] file using (strcol("method") eq word(names, k) ? column("time_s") : NaN):"low":"high" with filledcurves linecolor rgb shade[k] notitle, \
    for [k=1:8] file using (strcol("method") eq word(names, k) ? column("time_s") : NaN):"perplexity" \
    with linespoints pointtype 7 pointsize 0.5 linewidth 1.6 linecolor rgb shade[k] title word(names, k)
set title "joined with steps simulated on paper-laptop"
set xlabel "time (minutes), gpt2-774m"
unset ylabel
unset key
file = data."/joined-spread.csv"
plot for [k=1:8] file using (strcol("method") eq word(names, k) ? column("time_s")/60 : NaN):"low":"high" with filledcurves linecolor rgb shade[k] notitle, \
    for [k=1:8] file using (strcol("method") eq word(names, k) ? column("time_s")/60 : NaN):"perplexity" \
    with linespoints pointtype 7 pointsize 0.5 linewidth 1.6 linecolor rgb shade[k]
unset multiplot
