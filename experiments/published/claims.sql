-- The errors by framework and source, and judgements of their means.
SELECT printf('  %-20s %5s %8s %8s', 'framework', 'rows', 'error', 'bias');
SELECT printf('  %-20s %5d %6.1f %% %+6.1f %%', framework, count(*), 100 * avg(abs(error)), 100 * avg(error))
    FROM published GROUP BY framework ORDER BY min(rowid);
SELECT printf('  %-20s %5s %8s %8s', 'source', 'rows', 'error', 'bias');
SELECT printf('  %-20s %5d %6.1f %% %+6.1f %%', source, count(*), 100 * avg(abs(error)), 100 * avg(error))
    FROM published GROUP BY source ORDER BY min(rowid);
CREATE VIEW means AS SELECT count(*) AS steps, avg(abs(error)) AS mean, avg(error) AS bias,
    count(published_peak_gpu_bytes) AS peaks, 100 * low95(abs(error)) AS mean_low,
    100 * high95(abs(error)) AS mean_high, 100 * low95(error) AS bias_low, 100 * high95(error) AS bias_high
    FROM published;
CREATE VIEW sources AS SELECT count(*) AS sources, avg(mean) AS of_sources, 100 * low95(mean) AS low,
    100 * high95(mean) AS high FROM
    (SELECT avg(abs(error)) AS mean FROM published GROUP BY source);
SELECT printf('  %-20s %5d %6.1f %% %+6.1f %%, mean of sources %.1f %%', 'all', steps, 100 * mean, 100 * bias,
    100 * of_sources) FROM means, sources;

REQUIRE SELECT steps = 199 AND sources = 15, printf('199 rows of 15 sources (%d of %d)', steps, sources)
    FROM means, sources;
REQUIRE SELECT every(predicted_s > 0 AND measured_s > 0), 'every time is a number above 0' FROM published;
REQUIRE SELECT every(abs(predicted_s / measured_s - 1 - error) <= 1e-6), 'errors are predicted / measured - 1'
    FROM published;
REQUIRE SELECT every(peak_gpu_bytes > 0 AND peak_gpu_bound_bytes >= peak_gpu_bytes),
    'every predicted peak is above 0 and at most its bound' FROM published;
REQUIRE SELECT given('order_pairs') = 27 AND given('card_pairs') = 29,
    printf('27 pairs of policies and 29 of cards (%d and %d)', given('order_pairs'), given('card_pairs'));
REQUIRE SELECT peaks = 25, printf('25 published peaks (%d)', peaks) FROM means;
-- The intervals are over these steps and sources, which are no repeated runs: means are judged.
REQUIRE SELECT mean <= 0.15, printf('mean error at most 15 %% (%.1f %%)', 100 * mean), mean_low, mean_high,
    NULL, NULL, '%' FROM means;
REQUIRE SELECT of_sources <= 0.17, printf('mean of sources at most 17 %% (%.1f %%)', 100 * of_sources), low, high,
    NULL, NULL, '%' FROM sources;
REQUIRE SELECT abs(bias) <= 0.05, printf('bias at most 5 %% either way (%+.1f %%)', 100 * bias), bias_low, bias_high,
    NULL, NULL, '%' FROM means;
REQUIRE SELECT given('card_right') >= 28, printf('28 of 29 pairs of cards in order (%d)', given('card_right'));
REQUIRE SELECT given('left_out') > 0 AND given('left_out') < 0.2,
    printf('mean of sources below 20 %% for sources left out (%.1f %%)', 100 * given('left_out'));
REQUIRE SELECT abs(given('fitted_mape') - mean) < 1e-6,
    printf('frameworks/ has what the fit finds (%.4f %% and %.4f %%)', 100 * mean, 100 * given('fitted_mape'))
    FROM means;
-- Groups, and numbers but for what another compiler may round.
CREATE VIEW band AS SELECT kind || ' ' || coalesce(framework, '') || ' ' || coalesce(machine, '') AS band, * FROM
    (SELECT * FROM recorded UNION ALL SELECT * FROM bands);
REQUIRE SELECT every(alike), 'bands.csv has the bands of this version' ||
    coalesce(': ' || group_concat(iif(alike, NULL, band), ', '), '') FROM (SELECT band, count(*) = 2
        AND max("rows") = min("rows") AND max(mean_error) - min(mean_error) <= 0.0021 AND max(low) - min(low) <= 0.0021
        AND max(high) - min(high) <= 0.0021 AS alike FROM band GROUP BY band);
