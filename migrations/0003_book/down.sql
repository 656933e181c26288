DROP TABLE feed, events, exposures, reversals, movements, conversions, terms, entries, directory, links, memberships, accounts, batches, windows;
DROP SEQUENCE batch_numbers;
