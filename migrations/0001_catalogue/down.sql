DROP TABLE approvals, proposals, campaigns, rates, agreements, partners, alliance;
DROP FUNCTION published_version_is_final();
