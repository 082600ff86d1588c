# Lines with shaded spread over seeds: held-out perplexity against measured and against simulated time.
width = 960; height = 600
load plots."/style.gp"
# Each method's name, the policy whose colour and mark it has, and its line: dashed where another line has the colour.
names = "full lsp lsp-random lsp-eigen lsp-eigen-learned lora lora-eigen galore galore-eigen soap rest lomo badam zenflow"
policies = "zero lsp lsp-random lsp-eigen lsp-eigen lora lora galore galore native stream lomo badam zenflow"
dashes = "1 1 1 1 2 1 2 1 2 1 1 1 1 1"
count = words(names)
policy_of(k) = word(policies, k)
dash_of(k) = word(dashes, k) + 0
title_of(k) = word(names, k) eq "full" ? "full (zero)" : word(names, k)
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
# One legend below both panels, where it hides no line.
set bmargin at screen 0.25
set key at screen 0.5, screen 0.02 center bottom vertical maxrows 3 Left reverse samplen 2
file = data."/spread.csv"
plot for [k=1:count] file using (strcol("method") eq word(names, k) ? column("time_s") : NaN):"low":"high" with filledcurves linecolor rgb colour_of(policy_of(k)) notitle, \
    for [k=1:count] file using (strcol("method") eq word(names, k) ? column("time_s") : NaN):"perplexity" \
    with linespoints pointtype mark_of(policy_of(k)) pointsize 0.7 linewidth 1.6 dashtype dash_of(k) linecolor rgb colour_of(policy_of(k)) \
    title title_of(k)
set title "the same losses, steps simulated: ".joined_note
set xlabel "time (minutes)"
unset ylabel
unset key
file = data."/joined_spread.csv"
plot for [k=1:count] file using (strcol("method") eq word(names, k) ? column("time_s")/60 : NaN):"low":"high" with filledcurves linecolor rgb colour_of(policy_of(k)) notitle, \
    for [k=1:count] file using (strcol("method") eq word(names, k) ? column("time_s")/60 : NaN):"perplexity" \
    with linespoints pointtype mark_of(policy_of(k)) pointsize 0.7 linewidth 1.6 dashtype dash_of(k) linecolor rgb colour_of(policy_of(k))
unset multiplot
