-- Ours beside the paper's.  paper.csv: figures of the paper (arXiv 2407.15309) and of a public log of the driver's
-- calls on an A100, in us.
CREATE VIEW paper_of AS SELECT pick(value, what = 'freed_gb') AS freed_gb, pick(value, what = 'card_gb') AS card_gb,
    pick(value, what = 'freed_share') AS freed_share, pick(value, what = 'map_us') AS map_us,
    pick(value, what = 'access_us') AS access_us FROM paper;
CREATE VIEW grown AS SELECT pick(map_s, name = 'tensor') AS tensor, pick(map_s, name = 'second-log') AS second_log,
    pick(map_s, name = 'text') AS text FROM growth;
CREATE VIEW exposed AS SELECT pick(exposed_s, ahead = 0) AS none, pick(exposed_s, ahead = 1) AS one,
    pick(exposed_s, ahead = 100) AS many FROM ahead WHERE range = 'tensor';
CREATE VIEW kinds AS SELECT rate, cache || iif(range = 'text', '-text', '') AS kind, peak_bytes / 1e9 AS peak,
    freed_bytes / 1e9 AS freed, waste_share AS waste FROM rates;
CREATE VIEW by_rate AS SELECT rate, pick(peak, kind = 'vtensor') AS tensor, pick(peak, kind = 'vtensor-text') AS text,
    pick(peak, kind = 'paged') AS blocks, pick(peak, kind = 'reserved') AS places, pick(freed, kind = 'vtensor') AS
    tensor_freed, pick(freed, kind = 'vtensor-text') AS text_freed, pick(waste, kind = 'vtensor') AS tensor_waste,
    pick(waste, kind = 'vtensor-text') AS text_waste, pick(waste, kind = 'paged') AS blocks_waste,
    pick(waste, kind = 'reserved') AS places_waste FROM kinds GROUP BY rate;
CREATE VIEW shared AS SELECT pick(peak_bytes, kind = 'turns') / 1e9 AS turns, pick(peak_bytes, kind = 'alone') / 1e9 AS
    alone, pick(first_token_s, kind = 'turns') AS turns_s, pick(first_token_s, kind = 'alone') AS alone_s FROM prefix;
CREATE VIEW called AS SELECT min(iif(access = 'range', map_s, NULL)) AS range,
    min(iif(access = 'chunk', map_s, NULL)) AS chunk FROM access;

SELECT printf('  a growth of a text at 32 blocks: %.2f ms, with the second log %.2f, one range per text %.3f',
    1e3 * tensor, 1e3 * second_log, 1e3 * text) FROM grown;
SELECT printf('  300 new tokens, ms exposed with chunks 0, 1, 100 tokens ahead: %.2f, %.2f, %.2f', 1e3 * none,
    1e3 * one, 1e3 * many) FROM exposed;
SELECT '';
SELECT '  Yi-6B on an A100, GB of caches at most, by requests per second (free of the card):';
SELECT printf('  %d/s  chunks %5.1f (%4.1f)  one range per text %5.1f (%4.1f)  blocks %4.1f (0)  places %4.1f (0)',
    rate, tensor, tensor_freed, text, text_freed, blocks, places) FROM by_rate;
SELECT printf('  share of it without tokens at 4/s: %.2f, %.4f, %.3f, %.2f', tensor_waste, text_waste, blocks_waste,
    places_waste) FROM by_rate WHERE rate = 4;
SELECT printf('  40 conversations that begin alike: %.2f GB, %.2f if nothing is shared; first token %.0f and %.0f ms',
    turns, alone, 1e3 * turns_s, 1e3 * alone_s) FROM shared;
SELECT '';
SELECT printf('  this machine, tokens per second: chunks %.0f, blocks %.0f, reserved %.0f',
    pick(tokens_per_s, cache = 'vtensor'), pick(tokens_per_s, cache = 'paged'), pick(tokens_per_s, cache = 'reserved'))
    FROM host WHERE kind = 'measured';
SELECT printf('  240 chunks of a page mapped and accessible by one call %.0f us, by 240 calls %.0f us', 1e6 * range / 4,
    1e6 * chunk / 4) FROM called;
SELECT '';

REQUIRE SELECT abs(freed_gb / card_gb - freed_share) < 1e-9, '57 of 80 GB are 71.25 %' FROM paper_of;
REQUIRE SELECT abs(tensor / (64e-6 * (map_us + access_us)) - 1) < 0.01, 'a growth takes 64 maps and 64 calls of access'
    FROM grown, paper_of;
REQUIRE SELECT abs(second_log / 1.4e-3 - 1) < 0.01, '1.4 ms with the second log' FROM grown;
REQUIRE SELECT tensor > 60 * text, 'one range per text needs a 64th of the calls' FROM grown;
REQUIRE SELECT none - many > tensor, 'without chunks ahead growths are exposed' FROM exposed, grown;
REQUIRE SELECT abs(one - many) < 1e-4, 'one token ahead hides a growth of 2.4 ms' FROM exposed;
REQUIRE SELECT every(text < places AND text_waste < blocks_waste + 0.02),
    'one range per text takes less than places, and wastes as little as blocks' FROM by_rate;
REQUIRE SELECT pick(tensor_freed, rate = 1) >= freed_gb AND pick(text_freed, rate = 4) >= freed_gb,
    '57 GB are free at 1 request per second, with one range per text at 4 too' FROM by_rate, paper_of;
REQUIRE SELECT tensor_waste > 0.2, 'a range per tensor wastes more than a fifth at four heads of K' FROM by_rate
    WHERE rate = 4;
REQUIRE SELECT turns < 0.5 * alone, 'a shared beginning saves more than half' FROM shared;
REQUIRE SELECT every(measured.peak_bytes = predicted.peak_bytes AND measured.maps IS predicted.maps),
    'this machine: memory and calls are the predicted ones' FROM host AS measured JOIN host AS predicted USING (cache)
    WHERE measured.kind = 'measured' AND predicted.kind = 'predicted';
REQUIRE SELECT range < chunk, 'this machine: one call of access for many chunks is cheaper than one for each'
    FROM called;
