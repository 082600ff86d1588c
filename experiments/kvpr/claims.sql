-- Ours beside the closed form and the published gains.  paper.csv: gains in percent of the time per token in the
-- latency schedule, at best, and of tokens per second in the other one.
-- For one token of a sequence, its inputs take the time a on the link, its keys and values 2 a, rebuilding these r.
CREATE VIEW forms AS SELECT rowid AS place, model, latency AS published, throughput AS faster, blocks,
    2 * width / 32e9 AS a, 4 * width * width / 312e12 AS r FROM paper;
WRITE latency AS SELECT model, machine, asked, recompute_share, token_s FROM cells WHERE "group" = 'latency';
CREATE VIEW best AS SELECT forms.*, 2 * a / (2 * a + r) AS closed_share, (a + r) / (2 * a + r) - 1 AS closed,
    pick(recompute_share, asked = 'auto' AND machine = 'a100-peak') AS share,
    pick(token_s, asked = 'auto' AND machine = 'a100-peak') / pick(token_s, asked = 0 AND machine = 'a100-peak') - 1
        AS at_peak,
    pick(token_s, asked = 'auto' AND machine = 'a100-40gb') / pick(token_s, asked = 0 AND machine = 'a100-40gb') - 1
        AS on_profile FROM latency JOIN forms USING (model) GROUP BY model ORDER BY place;
CREATE VIEW gains AS SELECT model, accumulation,
    pick(token_s, asked = 0 AND machine = 'a100-peak') / pick(token_s, asked = 'auto' AND machine = 'a100-peak') - 1
        AS at_peak,
    pick(token_s, asked = 0 AND machine = 'a100-40gb') / pick(token_s, asked = 'auto' AND machine = 'a100-40gb') - 1
        AS on_profile FROM cells WHERE "group" = 'throughput' GROUP BY model, accumulation;
CREATE VIEW here AS SELECT asked, pick(token_s, kind = 'measured') AS measured,
    pick(token_s, kind = 'predicted') AS predicted FROM host WHERE asked <> 'auto' GROUP BY asked;
CREATE VIEW auto AS SELECT recompute_share AS share FROM host WHERE asked = 'auto';

SELECT '  latency, prompts of 1024 tokens: ours at the peak rates, ours on the A100''s profile, published at best';
SELECT printf('  %-9s share %.3f, closed form %.3f;  %+.1f %%  %+.1f %%  (%s)', model, share, closed_share,
    100 * at_peak, 100 * on_profile, iif(published, printf('%+.1f %%', published), '-')) FROM best;
SELECT '';
SELECT '  throughput with weights on the host, prompts of 128 tokens: gain at peak rates (A100''s profile)';
SELECT printf('  %-9s', model) || group_concat(printf('  %d x 32: %+.1f %% (%+.1f %%)', accumulation, 100 * at_peak,
    100 * on_profile), '') || printf('  published %+.1f %%', faster) FROM gains JOIN forms USING (model) GROUP BY model
    ORDER BY place;
SELECT '';
SELECT printf('  this machine, ms per token: measured (predicted); --recompute-share auto is %.2f', share) FROM auto;
SELECT ' ' || group_concat(printf('  %.1f: %.1f (%.1f)', asked, 1e3 * measured, 1e3 * predicted), '') FROM here;
SELECT '';

REQUIRE SELECT every(abs(off) < 0.01), printf('%s: all shares within 1 %% of the closed form: at most %+.2f %%', model,
    100 * iif(max(off) > -min(off), max(off), min(off))) FROM (SELECT model, place, token_s /
        (blocks * 32 * (1024 + 4) * (a * asked + max(r * asked, 2 * a * (1 - asked)))) - 1 AS off
        FROM latency JOIN forms USING (model) WHERE asked <> 'auto' AND machine = 'a100-peak')
    GROUP BY model ORDER BY place;
REQUIRE WITH changes AS (SELECT model, asked, token_s < lag(token_s) OVER (PARTITION BY model ORDER BY asked) AS falls
        FROM latency WHERE asked <> 'auto' AND machine = 'a100-peak'),
    turns AS (SELECT model, falls <> lag(falls) OVER (PARTITION BY model ORDER BY asked) AS turn FROM changes)
    SELECT sum(turn) = 1, model || ': one minimum over the shares' FROM turns GROUP BY model;
REQUIRE SELECT abs(share - closed_share) < 0.01, model || ': auto is the closed form''s share' FROM best;
REQUIRE SELECT abs(at_peak - closed) < 0.01, printf('%s: %+.1f %% is within 1 point of the closed form''s %+.1f %%',
    model, 100 * at_peak, 100 * closed) FROM best;
REQUIRE SELECT abs(100 * at_peak - published) < 1, printf('%s: and of the published %+.1f %%', model, published)
    FROM best WHERE published IS NOT NULL;
REQUIRE SELECT pick(at_peak, accumulation = 4) > 0.15 AND pick(at_peak, accumulation = 8) < 0.462, model ||
    ': with 4 to 8 micro-batches the gain is between the published 15.1 and 46.2 %' FROM gains GROUP BY model;
REQUIRE SELECT on_profile < 0, model || ': and there is a gain on the A100''s profile' FROM best;
REQUIRE SELECT iif(few, recompute_share = 0, recompute_share > 0), printf('%s, %s: auto is %.2f, since its inputs are '
    || '%s its keys and values', model, schedule, recompute_share, iif(few, 'twice', 'half')) FROM
    (SELECT *, model = 'llama-3.1-8b' AS few FROM cells WHERE "group" = 'grouped');
CREATE VIEW fastest AS SELECT * FROM here ORDER BY measured LIMIT 1;
REQUIRE SELECT asked > 0 AND asked < 1 AND abs(asked - share) <= 0.2,
    printf('this machine: the fastest measured share is %.1f, within one step of the predicted %.2f', asked, share)
    FROM fastest, auto;
REQUIRE SELECT fastest.measured < 0.9 * none.measured, 'this machine: and a tenth faster than none' FROM fastest,
    here AS none WHERE none.asked = 0;
