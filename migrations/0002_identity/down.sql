DROP TABLE alliance_keys;
DROP TABLE signing_keys;
DROP TABLE certificates;
