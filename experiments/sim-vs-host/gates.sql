-- A grid with gates of its own: are there enough cells, and are times and order predicted?  Of `what`, at least `least`
-- cells; the `limit` of the mean error; the least tau, or 0 where no order is judged; that of the mean error of device
-- memory, or 0 where it is not judged.  The interval is over the cells, which are no repeated runs: means are judged.
REQUIRE SELECT count(*) >= given('least'), printf('%d cells of %s, at least %d', count(*), given('what'),
    given('least')) FROM cells;
REQUIRE SELECT sum(disturbed = 'false') >= 0.75 * count(*),
    printf('%d of them were measured undisturbed, at least three quarters', sum(disturbed = 'false')) FROM cells;
CREATE VIEW means AS SELECT 100 * low95(abs(predicted_s / measured_s - 1)) AS low,
    100 * high95(abs(predicted_s / measured_s - 1)) AS high FROM cells WHERE disturbed = 'false';
CREATE VIEW ours AS SELECT * FROM summary WHERE cells = 'all' AND predictor = 'lspo' AND quantity = 'time';
REQUIRE SELECT mean <= given('limit'), printf('the time of %s is predicted within %g %% on average (%.1f %%)',
    given('what'), 100 * given('limit'), 100 * mean), low, high, NULL, NULL, '%' FROM ours, means;
REQUIRE SELECT given('tau_least') = 0 OR tau >= given('tau_least'), iif(given('tau_least') = 0, 'no order is judged',
    printf('the order of policies is predicted, tau at least %g (%g)', given('tau_least'), tau)) FROM ours;
REQUIRE SELECT given('memory') = 0 OR mean <= given('memory'), iif(given('memory') = 0, 'no memory is judged',
    printf('device memory is predicted within %g %% on average (%.1f %%)', 100 * given('memory'), 100 * mean))
    FROM (SELECT max(mean) AS mean FROM summary WHERE cells = 'all' AND predictor = 'lspo' AND quantity = 'device');
