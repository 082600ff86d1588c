-- Ours beside the authors'.  authors.csv: their medians in seconds, logs of the four H100 ("20B", dp 4); ratios.csv:
-- their steps with stride k as shares of the step in which the CPU updates all, logs of the A100 nodes, dp 4.
CREATE VIEW phases AS
    SELECT 'ours' AS whose, *, iteration_s AS sum_s FROM decomposition UNION ALL
    SELECT 'theirs', *, forward_s + backward_s + step_s FROM authors;
CREATE VIEW runs AS SELECT whose, pick(iteration_s, parts = 'blocking') AS blocking, pick(iteration_s, parts = 'flush')
    AS flush, pick(iteration_s, parts = 'all') AS "all", pick(step_s, parts = 'flush') AS flush_step,
    pick(step_s, parts = 'all') AS all_step, pick(sum_s, parts = 'blocking') AS blocking_sum,
    pick(sum_s, parts = 'all') AS all_sum, pick(backward_s, parts = 'blocking') AS blocking_backward,
    pick(backward_s, parts = 'flush') AS flush_backward FROM phases GROUP BY whose;
CREATE VIEW steps AS SELECT model, stride, strides.step_s / blocking.step_s AS share, ratio FROM strides
    JOIN (SELECT model, step_s FROM strides WHERE stride = 'blocking') AS blocking USING (model)
    LEFT JOIN ratios USING (model, stride);

SELECT '  20B on four H100, seconds: ours (the authors'')';
SELECT printf('  %-9s %15s %15s %15s %15s %15s %13s', '', 'forward', 'backward', 'step', 'sum of phases', 'iteration',
    'gain');
SELECT printf('  %-9s   %5.3f (%5.3f)   %5.3f (%5.3f)   %5.3f (%5.3f)   %5.3f (%5.3f)   %5.3f (%5.3f)   %4.2f (%4.2f)',
    parts, ours.forward_s, theirs.forward_s, ours.backward_s, theirs.backward_s, ours.step_s, theirs.step_s, ours.sum_s,
    theirs.sum_s, ours.iteration_s, theirs.iteration_s,
    (SELECT blocking FROM runs WHERE whose = 'ours') / ours.iteration_s,
    (SELECT blocking FROM runs WHERE whose = 'theirs') / theirs.iteration_s)
    FROM phases AS ours JOIN phases AS theirs USING (parts) WHERE ours.whose = 'ours' AND theirs.whose = 'theirs'
    ORDER BY ours.iteration_s DESC;
SELECT printf('%s  %s on four A100, step as a share of the blocking one: ours (the authors'')%s ', char(10), model,
    char(10)) || group_concat(iif(ratio, printf('  k=%d %.2f (%.2f)', stride, share, ratio), NULL), '') || char(10) ||
    printf('  all on the CPU, asynchronous down-convert: %.2f; --stride auto: %.2f', pick(share, stride = 'async'),
        pick(share, stride = 'auto')) FROM steps GROUP BY model;
SELECT '';

CREATE VIEW quantities AS
    SELECT whose, 'what blocking copies add to backward is' AS what, blocking_backward - flush_backward AS value
    FROM runs
    UNION ALL SELECT whose, 'the iteration with blocking copies is', blocking FROM runs
    UNION ALL SELECT whose, 'the step of the CPU alone is', flush_step FROM runs
    UNION ALL SELECT whose, 'the step with every second subgroup on the GPU is', all_step FROM runs
    UNION ALL SELECT whose, 'the gain of the flush, 1.92, is', blocking / flush FROM runs
    UNION ALL SELECT whose, 'the gain of all three in the sum of phases is', blocking_sum / all_sum FROM runs;
REQUIRE SELECT abs(ours.value / theirs.value - 1) <= 0.15, printf('%s within 15 %%: %+.0f %%', what,
    100 * (ours.value / theirs.value - 1)) FROM quantities AS ours JOIN quantities AS theirs USING (what)
    WHERE ours.whose = 'ours' AND theirs.whose = 'theirs';
REQUIRE SELECT blocking / flush > flush / "all", 'the flush gains more than the interleaving' FROM runs
    WHERE whose = 'ours';
REQUIRE SELECT every(abs(off) <= 0.15), printf('%s: all ratios over k within 15 %%: at most %+.0f %%', model,
    100 * iif(max(off) > -min(off), max(off), min(off))) FROM
    (SELECT model, share / ratio - 1 AS off FROM steps WHERE ratio) GROUP BY model;
REQUIRE SELECT every(share >= before), model || ': the step grows with k' FROM (SELECT model, share,
    lag(share, 1, share) OVER (PARTITION BY model ORDER BY stride) AS before FROM steps WHERE ratio) GROUP BY model;
REQUIRE SELECT share < 0.8, model || ': a tenth on the GPU still saves a fifth' FROM steps WHERE stride = 10;
REQUIRE SELECT pick(share, stride = 'auto') <= pick(share, stride = 2) * 1.0001,
    model || ': --stride auto is as fast as the best k' FROM steps GROUP BY model;
